"""What a multiply-accumulate unit computes: windows of a map times weights, all channels together or in groups."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.blocks.arith.sums import channel_sums, exact_float, window_sums
from hwgen.blocks.requantize.requantizer import blocks_for, digit_products, digits
from hwgen.blocks.requantize.staircase import Staircase
from hwgen.cost.needs import Products
from hwgen.graph.exact.loadable import LoadForm
from hwgen.graph.exact.requantize import Requantization
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType
from hwgen.memory.abreast import Abreast, widened


@dataclass(frozen=True)
class MacShape:
    """All of a layer that its useful foldings and their cycles depend on: no weights, no widths.

    ``digits``: hardware multipliers of a product by the requantiser's constant, 0 where that is always 1. ``flat``:
    channels of a pixel, where whole maps are flattened into windows; beats do not straddle pixels. Where pixels are
    ``abreast``, a pixel of the maps is a beat of them, and each window in a beat has groups of its own.
    """

    input: FeatureMap
    output: FeatureMap
    window: Window
    group: int
    digits: int
    flat: int | None = None
    abreast: Abreast | None = None

    def wide(self, pixels: int) -> "MacShape | None":
        """The same with so many pixels abreast; None where that cannot be."""
        if pixels == 1 or self.flat:
            return self if pixels == 1 else None
        made = widened(self.input, self.window, self.output, pixels)
        if made is None:
            return None
        source, window, output, abreast = made
        group = self.group * abreast.positions
        return replace(self, input=source, output=output, window=window, group=group, abreast=abreast)

    @cached_property
    def group_inputs(self) -> int:
        """Input channels that an output channel sees."""
        side = self.abreast
        if side is None:
            return self.input.channels // self.group
        return self.input.channels // side.pixels * side.positions // self.group

    @cached_property
    def group_outputs(self) -> int:
        """Output channels of a group."""
        return self.output.channels // self.group

    @cached_property
    def elements(self) -> int:
        """Elements of a group's window."""
        side = self.abreast
        return (self.window.taps if side is None else self.window.kernel[0] * side.taps) * self.group_inputs

    @cached_property
    def positions(self) -> int:
        """Windows of a frame."""
        return self.output.height * self.output.width


@dataclass(frozen=True, eq=False)
class MacLayer:
    """``weights`` int64 [OC, KH, KW, IC/group] (zero point taken off) over ``window``s of ``input``.

    Channels in and out are cut into ``group`` equal groups, of which each sees only its own; 1 is the usual
    convolution, as many as there are channels a depthwise one. With ``loading`` hardware is made for any weights of its
    type, and these are what it starts with. ``abreast`` is as in :class:`MacShape`; weights are those of one window.
    """

    input: FeatureMap
    output: FeatureMap
    window: Window
    weights: np.ndarray
    input_zero: int
    requantization: Requantization | Staircase
    group: int = 1
    loading: LoadForm | None = None
    abreast: Abreast | None = None

    @cached_property
    def shape(self) -> MacShape:
        """All that foldings are chosen by."""
        shape = MacShape(self.input, self.output, self.window, self.group, digits(self.requantization))
        return replace(shape, abreast=self.abreast)

    def wide(self, pixels: int) -> "MacLayer":
        """What hardware works on that takes so many pixels abreast: the same weights, for each window in a beat.
        ValueError where that cannot be."""
        if pixels not in self._wide:
            shape = self.shape.wide(pixels)
            if shape is None:
                raise ValueError(f"{pixels} pixels of {self.input} are not abreast for {self.window}")
            form, times = self.requantization, shape.group // self.group
            self._wide[pixels] = replace(
                self,
                input=shape.input,
                output=shape.output,
                window=shape.window,
                group=shape.group,
                requantization=form if times == 1 else form.repeated(times),
                abreast=shape.abreast,
            )
        return self._wide[pixels]

    @cached_property
    def _wide(self) -> dict[int, "MacLayer"]:
        return {1: self}

    @property
    def copies(self) -> int:
        """Windows that are worked on side by side with the same weights."""
        return self.abreast.positions if self.abreast else 1

    @property
    def group_inputs(self) -> int:
        """Input channels that an output channel sees."""
        return self.shape.group_inputs

    @property
    def group_outputs(self) -> int:
        """Output channels of a group."""
        return self.shape.group_outputs

    @property
    def elements(self) -> int:
        """Elements of a group's window."""
        return self.shape.elements

    @cached_property
    def product_kinds(self) -> tuple[Products, Products]:
        """One multiplier of the dot products, and one of the requantiser, if it has any."""
        x, weight = self.input.type, self.weight_type
        mac = Products(1, x.width + (not x.signed), weight.width + (not weight.signed))
        return mac, digit_products(self.requantization, 1) if self.shape.digits else replace(mac, count=0)

    def blocks(self, kind: str) -> int | None:
        """DSP blocks of a kind that a lane of the requantiser takes; None where these cannot multiply there, or nothing
        is multiplied."""
        return blocks_for(self.requantization, kind) if self.shape.digits else None

    @cached_property
    def weight_type(self) -> IntType:
        """Holds all weights: these, or all that may be loaded."""
        loaded = self.loading and self.loading.weights
        return loaded or IntType.holding(*self.weight_range)

    @cached_property
    def weight_range(self) -> tuple[int, int]:
        """The least and the greatest weight: of these, or of all that may be loaded."""
        loaded = self.loading and self.loading.weights
        return (loaded.min, loaded.max) if loaded else (int(self.weights.min()), int(self.weights.max()))

    @cached_property
    def spreads(self) -> dict[tuple, tuple[int, int]]:
        """What :meth:`spread` has found, by whatever decides it."""
        return {}

    def spread(self, portions: np.ndarray, parts: int) -> tuple[int, int]:
        """Between which integers the sums of products lie of each of so many parts, as alike as can be, of ``portions``
        of weights [..., portion], or of any that may be loaded in their place."""
        x, most = self.input.type, portions.shape[-1]
        starts = [most * n // parts for n in range(parts)]
        if self.loading and self.loading.weights:
            corners = [a * b for a in self.weight_range for b in (x.min, x.max)]
            lows, highs = (np.full((1, most), end, np.int64) for end in (min(corners), max(corners)))
        else:
            ends = np.stack([portions * x.min, portions * x.max])
            lows, highs = ends.min(axis=0), ends.max(axis=0)
        return int(np.add.reduceat(lows, starts, axis=-1).min()), int(np.add.reduceat(highs, starts, axis=-1).max())

    @cached_property
    def sum_type(self) -> IntType:
        """Holds every sum, partial ones included."""
        if self.loading:
            return widest_sums(self.weights, self.weight_type, self.input.type)
        low, high = raw_range(self.weights, self.input.type)
        return IntType.holding(min(int(low.min()), -1), int(high.max()))

    def golden(self, x: np.ndarray) -> np.ndarray:
        """Integers [N, H, W, C] to integers [N, OH, OW, OC]."""
        return self.requantization.golden(self.raw(x), self.output.type.dtype)

    def raw(self, x: np.ndarray) -> np.ndarray:
        """Raw sums [N, OH, OW, OC] of ``x`` [N, H, W, C], neither bias nor zero points taken into account.

        Integers held exactly by floats, so that the products run in BLAS: float32 below 2^24, else float64.
        """
        exact = exact_float(self.weights, self.input.type)
        if self.group == self.input.channels:
            return channel_sums(x, self.weights[..., 0], self.window, self.input_zero, exact)
        parts = zip(np.split(x, self.group, axis=3), np.split(self.weights, self.group), strict=True)
        sums = [window_sums(part, weights, self.window, self.input_zero, exact) for part, weights in parts]
        return sums[0] if self.group == 1 else np.concatenate(sums, axis=3)


def widest_sums(weights: np.ndarray, type_: IntType, x: IntType) -> IntType:
    """Holds all raw sums, partial ones included, of any weights of ``type_`` in the place of ``weights`` [OC, ...]."""
    elements = weights[0].size
    corners = [a * b for a in (type_.min, type_.max) for b in (x.min, x.max)]
    return IntType.holding(min(elements * min(corners), -1), elements * max(corners))


def raw_range(weights: np.ndarray, x: IntType) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest raw sum of each output channel, partial sums included; int64 [OC]."""
    flat = weights.reshape(len(weights), -1)
    corners = np.stack([flat * x.min, flat * x.max, np.zeros_like(flat)])
    return corners.min(axis=0).sum(axis=1), corners.max(axis=0).sum(axis=1)
