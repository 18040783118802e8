"""README's sentence on speed, read off the page of benchmarks.

    python benchmarks/speed_sentence.py docs/benchmarks.md README.md

``peers.py --page PAGE --readme README.md`` does the same once it has measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from theorylab.errors import UsageError
from theorylab.studies.pages import fill, held

MARKERS = "speed"
_MANY = 1000  # replicas
_JAX, _NUMBA = "JAX / ours", "numba / ours"


def rows(page: str) -> Iterator[Mapping[str, str]]:
    """Every row of the page's tables, by column."""
    heads: list[str] = []
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            heads = []
        elif not heads:
            heads = cells
        elif set("".join(cells)) != {"-"}:
            yield dict(zip(heads, cells, strict=True))


def sentence(page: str) -> str:
    """How many times as fast as JAX and numba ours is, at least and at most, in float32.

    Raises
    ------
    UsageError
        If the page has no row of many replicas, of a lone one, or of another method than SGD.
    """
    timed = [row for row in rows(page) if "first use, s" in row and row["replicas"]]
    sgd = [row for row in timed if row.get("dtype") == "float32"]
    cores = max((int(row["cores"]) for row in sgd), default=0)
    sgd = [row for row in sgd if int(row["cores"]) == cores]
    many = [row for row in sgd if _replicas(row) >= _MANY]
    lone = [row for row in sgd if _replicas(row) == 1]
    others = [row for row in timed if "method" in row and _replicas(row) >= _MANY]
    if not (many and lone and others):
        raise UsageError("the page of benchmarks lacks rows that the sentence speaks of; "
                         "measure it whole")  # fmt: skip
    methods = len({row["method"] for row in others})

    def told(which: list[Mapping[str, str]]) -> str:
        return (f"{_range(which, _JAX)} times as fast as JAX's best variant and "
                f"{_range(which, _NUMBA)} times as fast as numba")  # fmt: skip

    return (
        f"On {cores} cores, in float32 and with {_MANY:,} replicas or more, SGD is {told(many)}; "
        f"{methods} other methods are {told(others)}. One lone replica of SGD is {told(lone)} "
        "([benchmarks](docs/benchmarks.md))."
    )


def _replicas(row: Mapping[str, str]) -> int:
    return int(row["replicas"].replace(",", ""))


def _range(which: list[Mapping[str, str]], column: str) -> str:
    values = [float(row[column]) for row in which]
    return f"{min(values):.3g} to {max(values):.3g}"


def main() -> None:
    """Fill README from the page."""
    page, readme = map(Path, sys.argv[1:])
    held(readme, MARKERS)
    fill(readme, MARKERS, sentence(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
