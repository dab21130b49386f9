"""Where the picture of the pipeline puts its layers: rows from top to bottom, side branches in lanes of their own.

The first reader of a map goes on in the lane of the layer that makes it; its other readers are reached by a lane beside
it, which is theirs until the last of them. So chains are straight, and a shortcut lies beside what it goes round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

LANE = 30  # pixels between lanes
LEAST, MOST = 7, 26  # sides of the squares, in pixels


@dataclass(frozen=True)
class Line:
    """A map from row ``start`` to row ``end``, by way of ``lane``; ``edge`` is its entry of the data."""

    start: int
    end: int
    lane: int
    edge: dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """The ``lane`` of every row: the input, the layers, the outputs; and the ``lines`` between them."""

    lanes: tuple[int, ...]
    lines: tuple[Line, ...]

    @property
    def width(self) -> int:
        """Lanes in use."""
        return 1 + max([*self.lanes, *(line.lane for line in self.lines)])


def picture(layers: Sequence[str], edges: Sequence[dict[str, Any]], outputs: int) -> Picture:
    """Lay out ``layers``, in topological order, and ``edges`` as :func:`hwgen.report.graph.edges` gives them."""
    rows = {"": 0} | {layer: n for n, layer in enumerate(layers, 1)}
    ends = [len(layers) + 1 + edge["output"] if not edge["to"] else rows[edge["to"]] for edge in edges]
    starts = [rows[edge["from"]] for edge in edges]
    total = len(layers) + 1 + outputs
    readers: list[list[int]] = [sorted({e for s, e in zip(starts, ends, strict=True) if s == n}) for n in range(total)]
    lanes, beside = [0] * total, [0] * total
    taken: set[int] = set()
    for row in range(total):
        freed = set()
        for start in {s for s, e in zip(starts, ends, strict=True) if e == row}:
            if row == readers[start][0]:
                freed.add(lanes[start])
            if row == readers[start][-1] and len(readers[start]) > 1:
                freed.add(beside[start])
        lanes[row] = min(freed) if freed else _free(taken)
        taken = taken - freed | {lanes[row]}
        if not readers[row]:
            taken.discard(lanes[row])
        if len(readers[row]) > 1:
            beside[row] = _free(taken)
            taken.add(beside[row])
    lines = [
        Line(start, end, lanes[start] if end == readers[start][0] else beside[start], edge)
        for start, end, edge in zip(starts, ends, edges, strict=True)
    ]
    return Picture(tuple(lanes), tuple(lines))


def _free(taken: set[int]) -> int:
    return next(lane for lane in count() if lane not in taken)


def side(share: float, largest: float) -> float:
    """Pixels along a square whose area stands for a share of the hardware; the ``largest`` share has the largest."""
    return max(LEAST, MOST * (share / largest) ** 0.5) if largest > 0 else LEAST


def path(line: Line, lanes: Sequence[int], row: float) -> str:
    """The SVG path of a line, with rows ``row`` pixels high: to its lane behind its start, out of it before its end."""
    x0, x, x1 = (_x(lane) for lane in (lanes[line.start], line.lane, lanes[line.end]))
    y0, y1 = (row * (n + 0.5) for n in (line.start, line.end))
    if x0 == x == x1:
        return f"M{x0:g} {y0:g}V{y1:g}"
    half = row / 2
    into = f"C{x0:g} {y0 + half:g} {x:g} {y0 + half:g} {x:g} {y0 + row:g}" if x0 != x else ""
    out = f"C{x:g} {y1 - half:g} {x1:g} {y1 - half:g} {x1:g} {y1:g}" if x1 != x else f"V{y1:g}"
    return f"M{x0:g} {y0:g}{into}V{max(y1 - row, y0 + row * bool(into)):g}{out}"


def _x(lane: int) -> float:
    return LANE * (lane + 0.5)
