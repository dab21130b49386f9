"""Elements in another order, with some made up between them: put in order first and padded then, or the reverse."""

from dataclasses import dataclass, replace

import numpy as np

from hwgen.blocks.move.box import Pad, Slice
from hwgen.blocks.move.reorder import Rearrange, ShuffleChannels, Upsample
from hwgen.blocks.operator import GoldenOnly, Operator
from hwgen.graph.lower.value import NOWHERE
from hwgen.graph.network import QuantizedTensor, Site
from hwgen.graph.types import FeatureMap

_ORDERS = (Slice, Upsample, ShuffleChannels, Rearrange)


@dataclass(frozen=True, eq=False)
class MadeUp(GoldenOnly):
    """Element ``n`` of the output is element ``places[n]`` of the input's raster; ``fill`` where that is -1.

    What computes it are its :attr:`parts`. Where all that comes from the input is one box, it is put in order and
    ``fill`` goes around it. Elsewhere a row of ``fill`` goes behind the map, which is then put in order as a whole.
    """

    input: FeatureMap
    output: FeatureMap
    places: np.ndarray
    fill: int
    steps: tuple[Operator, ...]

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "MadeUp | None":
        if not (site.attributes["places"] == NOWHERE).any():
            return None
        places, fill = site.attributes["places"], site.attributes["fill"]
        steps = _in_a_box(site, places, fill) or _behind_the_map(site, places, fill)
        return cls(site.input.map, site.output.map, places, fill, steps)

    @property
    def parts(self) -> tuple[Operator, ...]:
        return self.steps

    def golden(self, x: np.ndarray) -> np.ndarray:
        result = x.reshape(len(x), -1)[:, self.places]
        return np.where(self.places == NOWHERE, x.dtype.type(self.fill), result)


def _in_a_box(site: Site, places: np.ndarray, fill: int) -> tuple[Operator, ...] | None:
    """An order and a Pad; None where elements are made up between others."""
    inside = np.argwhere(places != NOWHERE)
    if not len(inside):
        return None
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    box = places[tuple(slice(start, end) for start, end in zip(low, high, strict=True))]
    if (box == NOWHERE).any():
        return None
    pads = tuple((int(a), int(size - b)) for a, b, size in zip(low, high, places.shape, strict=True))
    rows, columns, channels = box.shape
    inner = FeatureMap(rows, columns, channels, site.output.map.type)
    return _order(site, site.input.map, inner, box), Pad(inner, site.output.map, pads, fill)


def _behind_the_map(site: Site, places: np.ndarray, fill: int) -> tuple[Operator, ...]:
    """A Pad and an order, which finds what is made up in the same lane of a beat."""
    source = site.input.map
    longer = replace(source, height=source.height + 1)
    made_up = source.elements + np.broadcast_to(np.arange(places.shape[2]) % source.channels, places.shape)
    whole = np.where(places == NOWHERE, made_up, places)
    return Pad(source, longer, ((0, 1), (0, 0), (0, 0)), fill), _order(site, longer, site.output.map, whole)


def _order(site: Site, source: FeatureMap, result: FeatureMap, places: np.ndarray) -> Operator:
    """The most particular operator that puts ``source`` in this order."""
    tensors = [
        QuantizedTensor(tensor.name, size, tensor.quantization)
        for tensor, size in ((site.input, source), (site.output, result))
    ]
    settings = {**site.attributes, "places": places}
    own = replace(site, inputs=(tensors[0],), output=tensors[1], attributes=settings)
    return next(filter(None, (kind.from_site(own) for kind in _ORDERS)))
