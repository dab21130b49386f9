"""Where integers are not golden's: those of hardware, or of ONNX Runtime."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwgen.graph.errors import middle_cut

RTL, RUNTIME = "RTL", "ONNX Runtime"


@dataclass(frozen=True)
class Difference:
    """The first integer in which a tensor differs from golden, and how many there are: ``layer`` makes it, and ``who``
    computed what was ``found``."""

    who: str
    tensor: str
    layer: str
    frame: int
    row: int
    column: int
    channel: int
    golden: int
    found: int
    count: int
    total: int

    def __str__(self) -> str:
        tensor = f"tensor {middle_cut(self.tensor, 80)!r} (layer {self.layer!r}) differs"
        what = f"layer {self.layer!r} differs from golden" if self.who == RTL else tensor
        return (
            f"{what} in {self.count:,} of {self.total:,} integers, first in frame {self.frame} at row {self.row}, "
            f"column {self.column}, channel {self.channel}: golden {self.golden}, {self.who} {self.found}"
        )


def difference(
    who: str, tensor: str, layer: str, golden: np.ndarray, found: np.ndarray, start: int = 0
) -> Difference | None:
    """What differs in the integers [N, H, W, C] of frames from ``start`` on; None where nothing does."""
    wrong = golden != found
    if not wrong.any():
        return None
    place = frame, row, column, channel = tuple(np.argwhere(wrong)[0].tolist())
    values = int(golden[place]), int(found[place])
    at = start + frame, row, column, channel
    return Difference(who, tensor, layer, *at, *values, int(wrong.sum()), wrong.size)


def joined(parts: Iterable[Difference], totals: Mapping[str, int]) -> tuple[Difference, ...]:
    """One difference for each tensor, of those in ``parts`` of the frames, the first frames first; in the order of
    ``totals``, which are how many integers there are in all."""
    first: dict[str, Difference] = {}
    for part in parts:
        known = first.get(part.tensor)
        first[part.tensor] = replace(known, count=known.count + part.count) if known else part
    return tuple(replace(first[tensor], total=total) for tensor, total in totals.items() if tensor in first)
