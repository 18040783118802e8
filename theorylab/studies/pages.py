"""Tables inside pages that people write: a command fills what lies between two marker lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from theorylab.errors import UsageError
from theorylab.plugins.files import write_text
from theorylab.regular import regular_text

__all__ = ["fill", "held", "markdown_table", "source"]


def held(page: Path, name: str) -> str:
    """What lies between the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of a page.

    A command asks before it computes anything: a page that cannot be filled is refused at once.

    Raises
    ------
    UsageError
        If the page cannot be read or lacks either line, or has it twice.
    """
    return _parts(page, name)[1].strip("\n")


def fill(page: Path, name: str, text: str) -> None:
    """Put ``text`` between the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->`` of a page.

    Raises
    ------
    UsageError
        If the page cannot be read or lacks either line, or has it twice.

    Examples
    --------
    >>> import tempfile
    >>> page = Path(tempfile.mkdtemp()) / "page.md"
    >>> _ = page.write_text("Before\\n<!-- results -->\\nold\\n<!-- end of results -->\\nAfter\\n")
    >>> fill(page, "results", "new")
    >>> page.read_text().split()
    ['Before', '<!--', 'results', '-->', 'new', '<!--', 'end', 'of', 'results', '-->', 'After']
    """
    before, _, after = _parts(page, name)
    start, end = _lines(name)
    write_text(page, f"{before}{start}\n{text}\n{end}{after}")


def _lines(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def _parts(page: Path, name: str) -> tuple[str, str, str]:
    """What comes before the first line, between the two, and after the second."""
    start, end = _lines(name)
    try:
        before, rest = regular_text(page).split(start)
        inside, after = rest.split(end)
    except (OSError, ValueError) as error:
        raise UsageError(f"{page} needs the lines {start} and {end} once each") from error
    return before, inside, after


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(("a", "b"), [(1, 2)]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


def source(report: Mapping[str, Any]) -> str:
    """What made a report: its command and code, as one line of Markdown."""
    made = report["provenance"]
    return f"*`{made['command']}`, code {made['code']}.*"
