"""Transposed convolution: in hardware a convolution that makes all phases of the result at once, then interleaved.

With strides ``s`` the rows ``s*g .. s*g + s-1`` of the result see the same rows of the map, each through every ``s``-th
row of the kernel. They are the channels of one convolution with a kernel ``s`` times smaller, so that no zero between
pixels is ever multiplied.
"""

from dataclasses import dataclass, replace

import numpy as np

from hwgen.blocks.arith.sums import exact_float, window_sums
from hwgen.blocks.loaded import stored_type
from hwgen.blocks.mac.conv import Conv
from hwgen.blocks.mac.mac_layer import raw_range
from hwgen.blocks.move.box import Slice
from hwgen.blocks.move.reorder import Rearrange
from hwgen.blocks.operator import GoldenOnly, Operator
from hwgen.blocks.requantize.staircase import Staircase, requantization
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.expression import Expression
from hwgen.graph.network import Site
from hwgen.graph.semantics.window import TransposedWindow, Window
from hwgen.graph.types import FeatureMap


@dataclass(frozen=True, eq=False)
class ConvTranspose(GoldenOnly):
    """``weights`` int64 [OC, KH, KW, IC/group], zero points taken off and turned round, over the spread map.

    What computes it are its :attr:`parts`: ``phases``, their interleaving, and what cuts off the edges.
    """

    input: FeatureMap
    output: FeatureMap
    window: TransposedWindow
    weights: np.ndarray
    input_zero: int
    requantization: Requantization | Staircase
    group: int
    phases: "Phases"

    sites = ("ConvTranspose",)

    @classmethod
    def from_site(cls, site: Site) -> "ConvTranspose | None":
        if site.op != "ConvTranspose":
            return None
        group, source, window = site.attributes["group"], site.input.quantization, site.attributes["window"]
        weights = turned(site, group)
        low, high = raw_range(weights, source.type)
        zeros = np.abs(weights.reshape(len(weights), -1)).sum(axis=1) * abs(source.zero_point)
        bias = np.zeros(len(weights), np.int64) if site.bias is None else site.bias.astype(np.int64)
        unit = np.resize(site.weights.scale, len(weights))  # the same scales for each group
        form = requantization(site, unit, bias, low - zeros, high + zeros)
        phases = Phases.of(site, window, weights, unit, bias)
        return cls(site.input.map, site.output.map, window, weights, source.zero_point, form, group, phases)

    @property
    def parts(self) -> tuple[Operator, ...]:
        strides = self.window.strides
        parts: list[Operator] = [self.phases]
        if strides != (1, 1):
            parts.append(_interleaved(self.phases.output, self.output, strides, self.group))
        if parts[-1].output.shape != self.output.shape:
            row, column = (before % stride for before, stride in zip(_before(self.window), strides, strict=True))
            parts.append(Slice(parts[-1].output, self.output, (row, column, 0), (1, 1, 1)))
        return tuple(parts)

    def golden(self, x: np.ndarray) -> np.ndarray:
        exact = exact_float(self.weights, self.input.type) if not self.input_zero else np.float64
        spread = self.window.spread(x.astype(exact) - exact(self.input_zero))
        parts = zip(np.split(spread, self.group, axis=-1), np.split(self.weights, self.group), strict=True)
        raw = np.concatenate([window_sums(part, w, self.window.window, 0, exact) for part, w in parts], axis=-1)
        return self.requantization.golden(raw, self.output.type.dtype)


@dataclass(frozen=True, eq=False)
class Phases(Conv):
    """The phases of a transposed convolution: in each group of channels, for each row and column of the stride, its
    output channels. ``taps`` multiplications at a position are by weights, the others fill up the kernel."""

    taps: int = 0

    @property
    def macs(self) -> int:
        return self.taps * self.output.height * self.output.width

    @staticmethod
    def of(site: Site, window: TransposedWindow, weights: np.ndarray, unit: np.ndarray, bias: np.ndarray) -> "Phases":
        """The convolution for ``weights`` as in :class:`ConvTranspose`, ``unit`` and ``bias`` of its channels."""
        source, target, group = site.input, site.output.map, site.attributes["group"]
        first, strides, sizes = _before(window), window.strides, source.map.shape[:2]
        splits = zip(
            first, strides, window.window.kernel, window.window.dilations, target.shape[:2], sizes, strict=True
        )
        ways = [_Phase.along(*way) for way in splits]
        split = _split(weights[:, ::-1, ::-1], ways, group)
        owner = np.arange(len(weights)).reshape(group, 1, -1).repeat(strides[0] * strides[1], axis=1).ravel()
        zero = source.quantization.zero_point
        bias = bias[owner] - zero * split.reshape(len(split), -1).sum(axis=1)
        (top, bottom), (left, right) = (way.pads for way in ways)
        plain = Window((ways[0].taps, ways[1].taps), pads=(top, left, bottom, right))
        rows, columns = plain.output_size(*sizes)
        low, high = raw_range(split, source.map.type)
        function = None if site.function is None else _for_each(site.function, owner)
        form = requantization(replace(site, function=function), unit[owner], bias, low, high)
        output = FeatureMap(rows, columns, len(owner), target.type)
        return Phases(source.map, output, plain, split, zero, form, group, stored_type(site.weights), taps=weights.size)


@dataclass(frozen=True)
class _Phase:
    """One dimension: tap ``n`` of the kernel is tap ``places[n]`` of phase ``phases[n]``, of ``taps``."""

    stride: int
    phases: np.ndarray
    places: np.ndarray
    taps: int
    pads: tuple[int, int]

    @staticmethod
    def along(before: int, stride: int, kernel: int, dilation: int, wanted: int, size: int) -> "_Phase":
        """``before`` elements of the full result precede the ``wanted`` ones; the map has ``size``."""
        reach = dilation * np.arange(kernel)
        first, last = before // stride, (before + wanted - 1) // stride
        taps = max(int(reach[-1]) // stride, first) + 1
        pads = taps - 1 - first, max(last - size + 1, 0)
        return _Phase(stride, reach % stride, taps - 1 - reach // stride, taps, pads)


def _split(weights: np.ndarray, ways: list[_Phase], group: int) -> np.ndarray:
    """``weights`` [OC, KH, KW, IC/group] tap by tap among the phases: [group * phases * OC/group, TH, TW, IC/group]."""
    rows, columns = ways
    outputs, inner = len(weights) // group, weights.shape[3]
    split = np.zeros((group, rows.stride, columns.stride, outputs, rows.taps, columns.taps, inner), np.int64)
    for y, x in np.ndindex(*weights.shape[1:3]):
        at = (slice(None), rows.phases[y], columns.phases[x], slice(None), rows.places[y], columns.places[x])
        split[at] = weights[:, y, x].reshape(group, outputs, inner)
    return split.reshape(-1, rows.taps, columns.taps, inner)


def _before(window: TransposedWindow) -> tuple[int, int]:
    """Rows and columns of the full result that come before the first one wanted."""
    (rows, columns), (top, left, _, _) = window.window.extent, window.pads
    return rows - 1 - top, columns - 1 - left


def _interleaved(phases: FeatureMap, result: FeatureMap, strides: tuple[int, int], group: int) -> Rearrange:
    """Phases as neighbouring rows and columns."""
    (rows, columns), channels = strides, result.channels
    places = np.arange(phases.elements).reshape(phases.height, phases.width, group, rows, columns, channels // group)
    places = places.transpose(0, 3, 1, 4, 2, 5).reshape(phases.height * rows, phases.width * columns, channels)
    return Rearrange(phases, FeatureMap(*places.shape, result.type), places)


def _for_each(function: Expression, owner: np.ndarray) -> Expression:
    """``function`` for channels that are copies of channel ``owner`` each."""
    constants = {
        name: value[..., owner] if value.ndim and value.shape[-1] > 1 else value
        for name, value in function.constants.items()
    }
    return replace(function, constants=constants)


def turned(site: Site, group: int) -> np.ndarray:
    """[IC, OC/group, KH, KW] as [OC, KH, KW, IC/group], last tap first."""
    values, zero = site.weights.values.astype(np.int64), site.weights.zero_point
    values = values - (zero.reshape(1, -1, 1, 1) if zero.size > 1 else zero.reshape(()))
    parts = [part.transpose(1, 2, 3, 0) for part in np.split(values, group)]
    return np.concatenate(parts)[:, ::-1, ::-1]
