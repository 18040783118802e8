"""Every exhibit by key, and what makes one: compute, keep its data, draw it."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from paper_figures import lrsgd, sngm, stochastic_batch_size, tralgo
from paper_figures.exhibit import Exhibit, Refused, read_csv, write_csv
from paper_figures.session import Session
from paper_figures.style import FORMATS, Style, save
from paper_figures.tables import compared, controls, latex
from theorylab.errors import UnknownNameError, UsageError
from theorylab.plugins.files import keep_beside, write_text
from theorylab.plugins.provenance import provenance, run_of
from theorylab.studies.planning import Planned, end_of_plan

__all__ = ["EXHIBITS", "Drawn", "draw", "exhibit", "produce", "produce_each"]

EXHIBITS: dict[str, Exhibit] = {
    item.key: item
    for module in (tralgo, lrsgd, sngm, stochastic_batch_size)
    for item in module.EXHIBITS
}


def exhibit(key: str) -> Exhibit:
    """The exhibit of that key.

    >>> exhibit("sngm.table_2").number
    'Table 2'

    Raises
    ------
    UnknownNameError
        If there is none, with the nearest names.
    """
    if key not in EXHIBITS:
        close = difflib.get_close_matches(key, EXHIBITS, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`figure --list` shows all"
        raise UnknownNameError(f"unknown exhibit {key!r}; {hint}")
    return EXHIBITS[key]


@final
@dataclass(frozen=True)
class Drawn:
    """The files of one exhibit: its tidy data first."""

    key: str
    files: tuple[Path, ...]
    missing: int


def produce(
    item: Exhibit, session: Session, out: Path, style: Style, formats: Sequence[str] = FORMATS
) -> Drawn:
    """Compute what is missing of an exhibit, write its data, and draw it from them.

    Nothing finished is lost: every cell is kept in the session's store when it ends.
    """
    before = session.missing
    data = item.compute(session)
    end_of_plan()
    made = provenance(
        exhibit=item.key, preset=session.scale.name, seed=session.seed,
        data={name: digest for name, digest in session.digests.items() if digest},
    )  # fmt: skip
    if session.data_dir is not None:
        # Where the data lay is nobody's business but the user's.
        made = {**made, "command": made["command"].replace(str(session.data_dir), "DATA")}
    target = out / f"{item.key}.csv"
    if target.is_file() and _run(target) != run_of(json.loads(json.dumps(made))):
        keep_beside(target, *(p for p in out.glob(f"{item.key}.*") if p != target))
    path = write_csv(target, data, made)
    return Drawn(item.key, (path, *draw(item, path, style, formats)), session.missing - before)


def produce_each(
    keys: Sequence[str],
    session: Session,
    out: Path,
    style: Style,
    formats: Sequence[str] = FORMATS,
) -> Iterator[Drawn | Refused]:
    """:func:`produce` of every exhibit named.

    One that cannot be drawn is named with its reason; where it is the only one, it raises.
    """
    for number, key in enumerate(keys, 1):
        session.label = f"{key} ({number}/{len(keys)})"
        try:
            yield produce(exhibit(key), session, out, style, formats)
        except Planned:  # the others' cells belong to the plan too
            continue
        except UsageError as error:
            if len(keys) == 1:
                raise
            yield Refused(key, str(error.args[0]))


def draw(item: Exhibit, path: Path, style: Style, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw an exhibit from the data at ``path``, beside it; nothing is computed.

    Raises
    ------
    UsageError
        If the data are not what :func:`produce` wrote.
    """
    data, kept = read_csv(path)
    made: dict[str, Any] = {**kept, "table": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
                            "style": style.name}  # fmt: skip
    stem = path.with_suffix("")
    written = save(item.draw(data, style), stem, made, formats)
    if item.tables is not None:
        written.append(
            _write(stem, ".tex", f"% {json.dumps(made, sort_keys=True)}\n{item.tables(data)}")
        )
    elif item.places is not None:
        table, arms = compared(item, data), controls(data, item.statistic)
        written.append(write_csv(path.with_name(f"{item.key}.table.csv"), table, made))
        if len(arms):
            written.append(write_csv(path.with_name(f"{item.key}.arms.csv"), arms, made))
        written.append(_write(stem, ".tex", latex(item, table, arms, made)))
    elif len(arms := controls(data, item.statistic)):
        written.append(write_csv(path.with_name(f"{item.key}.arms.csv"), arms, made))
    return written


def _run(path: Path) -> list[Any] | None:
    """Which run wrote the data; ``None`` of anything else."""
    try:
        return run_of(read_csv(path)[1])
    except UsageError:
        return None


def _write(stem: Path, suffix: str, text: str) -> Path:
    target = stem.with_name(stem.name + suffix)
    write_text(target, text)
    return target
