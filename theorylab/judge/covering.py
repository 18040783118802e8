"""Few rows of ends in which symbols meet at every combination of them: covering arrays."""

from __future__ import annotations

from itertools import combinations, count, islice, product
from math import comb

__all__ = ["covering_rows"]

_TRIPLES = 4  # columns, at most, of which every three show all eight triples


def covering_rows(width: int) -> list[tuple[bool, ...]]:
    """Rows of ``width`` booleans where any two columns show all four pairs of values.

    Of up to four columns any three show all eight triples: all rows of three, the fourth column
    being where an odd number of them is true. Rows with an even number come first: of three
    columns they show all pairs by themselves.

    Beyond, no fewer rows show all pairs (Kleitman & Spencer 1973; Katona 1973). A column is the
    set of rows where it is true, one of the sets of ``ceil(N / 2)`` out of ``N`` rows without the
    first. Two of them lie in ``N - 1`` rows, so they meet; neither contains the other; both are
    without the first row. Six rows serve 10 columns, eight 35.

    >>> [len(covering_rows(width)) for width in (0, 1, 2, 3, 4, 5, 10, 15, 35)]
    [1, 2, 4, 8, 8, 6, 6, 7, 8]
    >>> covering_rows(3)[:4]
    [(False, True, True), (True, False, True), (True, True, False), (False, False, False)]
    """
    if width <= _TRIPLES:
        corners = list(product((False, True), repeat=min(width, _TRIPLES - 1)))
        corners.sort(key=lambda row: (sum(row) % 2, -sum(row)))
        return [row + (sum(row) % 2 == 1,) * (width == _TRIPLES) for row in corners]
    size = next(n for n in count(2) if comb(n - 1, -(-n // 2)) >= width)
    columns = list(islice(combinations(range(1, size), -(-size // 2)), width))
    return [tuple(row in column for column in columns) for row in reversed(range(size))]
