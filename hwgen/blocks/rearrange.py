"""Operators that only move, repeat, leave out or make up elements of a stream."""

from dataclasses import dataclass

import numpy as np

from hwgen.graph.network import Site
from hwgen.graph.types import FeatureMap

from .operator import GoldenOperator

NOWHERE = -1


@dataclass(frozen=True, eq=False)
class Rearrange(GoldenOperator):
    """Element ``n`` of the output is element ``places[n]`` of the input's raster; ``fill`` where that is -1."""

    input: FeatureMap
    output: FeatureMap
    places: np.ndarray
    fill: int

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Rearrange | None":
        if site.op != "Rearrange":
            return None
        return cls(site.input.map, site.output.map, site.attributes["places"], site.attributes["fill"])

    def golden(self, x: np.ndarray) -> np.ndarray:
        result = x.reshape(len(x), -1)[:, self.places]
        return np.where(self.places == NOWHERE, x.dtype.type(self.fill), result)


@dataclass(frozen=True, eq=False)
class Slice(GoldenOperator):
    """A box out of the map: ``starts`` and ``steps`` in rows, columns and channels."""

    input: FeatureMap
    output: FeatureMap
    starts: tuple[int, int, int]
    steps: tuple[int, int, int]

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Slice | None":
        if site.op != "Rearrange":
            return None
        places, source = site.attributes["places"], site.input.map
        if (places == NOWHERE).any():
            return None
        first = np.unravel_index(places[0, 0, 0], source.shape)
        seconds = [places[tuple(np.eye(3, dtype=int)[axis] * (places.shape[axis] > 1))] for axis in range(3)]
        steps = [int(np.unravel_index(n, source.shape)[axis] - first[axis]) or 1 for axis, n in enumerate(seconds)]
        op = cls(source, site.output.map, tuple(map(int, first)), tuple(steps))
        return op if op._places() is not None and np.array_equal(op._places(), places) else None

    def _indices(self) -> list[np.ndarray]:
        settings = zip(self.starts, self.steps, self.output.shape, strict=True)
        return [start + step * np.arange(count) for start, step, count in settings]

    def _places(self) -> np.ndarray | None:
        indices = self._indices()
        if any(i.min() < 0 or i.max() >= size for i, size in zip(indices, self.input.shape, strict=True)):
            return None
        return np.arange(self.input.elements).reshape(self.input.shape)[np.ix_(*indices)]

    def golden(self, x: np.ndarray) -> np.ndarray:
        rows, columns, channels = self._indices()
        return x[:, rows][:, :, columns][:, :, :, channels]


@dataclass(frozen=True, eq=False)
class Upsample(GoldenOperator):
    """Every pixel ``scales`` times (rows, columns)."""

    input: FeatureMap
    output: FeatureMap
    scales: tuple[int, int]

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Upsample | None":
        source, result = site.input.map, site.output.map
        if site.op != "Rearrange" or result.height % source.height or result.width % source.width:
            return None
        op = cls(source, result, (result.height // source.height, result.width // source.width))
        places = np.arange(source.elements).reshape(1, *source.shape)
        return op if np.array_equal(op.golden(places)[0], site.attributes["places"]) else None

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x.repeat(self.scales[0], axis=1).repeat(self.scales[1], axis=2)


@dataclass(frozen=True, eq=False)
class Pad(GoldenOperator):
    """``fill`` around the map: ``pads`` are (before, after) in rows, columns and channels."""

    input: FeatureMap
    output: FeatureMap
    pads: tuple[tuple[int, int], ...]
    fill: int

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "Pad | None":
        if site.op != "Rearrange":
            return None
        places, source = site.attributes["places"], site.input.map
        inside = np.argwhere(places != NOWHERE)
        if not len(inside):
            return None
        low = inside.min(axis=0)
        high = np.array(places.shape) - low - np.array(source.shape)
        if (high < 0).any():
            return None
        pads = tuple((int(before), int(after)) for before, after in zip(low, high, strict=True))
        plain = np.pad(np.arange(source.elements).reshape(source.shape), pads, constant_values=NOWHERE)
        return cls(source, site.output.map, pads, site.attributes["fill"]) if np.array_equal(plain, places) else None

    def golden(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, ((0, 0), *self.pads), constant_values=self.fill)


@dataclass(frozen=True, eq=False)
class ShuffleChannels(GoldenOperator):
    """Channels in another order, some left out or repeated: output channel ``n`` is input channel ``order[n]``."""

    input: FeatureMap
    output: FeatureMap
    order: np.ndarray

    sites = ("Rearrange",)

    @classmethod
    def from_site(cls, site: Site) -> "ShuffleChannels | None":
        source, result = site.input.map, site.output.map
        if site.op != "Rearrange" or source.shape[:2] != result.shape[:2]:
            return None
        order = site.attributes["places"][0, 0]
        op = cls(source, result, order)
        if order.min() < 0 or order.max() >= source.channels:
            return None
        places = np.arange(source.elements).reshape(1, *source.shape)
        return op if np.array_equal(op.golden(places)[0], site.attributes["places"]) else None

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x[..., self.order]
