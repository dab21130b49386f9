"""A list of layers as one operator, and each of them as the loop sees it: a convolution on integers that are signed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hwgen.blocks.mac.mac import MacOperator
from hwgen.blocks.mac.mac_layer import MacLayer, raw_range
from hwgen.blocks.operator import Operator, OperatorUnit
from hwgen.blocks.pool.global_max import GlobalMaxPool
from hwgen.blocks.pool.pool import MaxPool
from hwgen.blocks.requantize.lane_form import DIGIT_BITS
from hwgen.graph.errors import ModelError
from hwgen.graph.exact.loadable import LoadForm, choose, fit_within, within
from hwgen.graph.exact.requantize import WIDEST, Requantization
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import FeatureMap, IntType

#: Bits of an activation and of a weight at most: two products of these share a multiplier.
WIDTH = 8


class LoopedError(ModelError):
    """The layer of a loop with the number ``layer``, counted from 0, cannot be in it: why, says ``line``."""

    def __init__(self, layer: int, line: str):
        self.layer, self.line = layer, line
        super().__init__(f"layer {layer} of a loop: {line}")


@dataclass(frozen=True, eq=False)
class LoopedConv:
    """A convolution whose input is kept as ``bits`` of which the highest is the sign.

    ``weights`` int64 [OC, KH, KW, IC]. An input without a sign has ``flip`` taken off, 0 or half its range, and so has
    ``pad``, the integer around it; ``requantization`` is that for such sums. A flattened map is a window as large as
    it.
    """

    input: FeatureMap
    output: FeatureMap
    window: Window
    weights: np.ndarray
    flip: int
    pad: int
    requantization: Requantization

    @staticmethod
    def of(layer: MacLayer, source: FeatureMap, bits: int) -> "LoopedConv":
        """``layer`` of the map ``source``, which may be flat in the layer. ModelError where it cannot be looped."""
        form = layer.requantization
        if layer.group != 1:
            raise ModelError(f"a convolution in {layer.group} groups is in no loop (limit 1)")
        if not isinstance(form, Requantization) or form.form == "raw":
            raise ModelError("sums that are not quantised, or through a function before, are in no loop")
        window, weights = layer.window, layer.weights
        if source.shape != layer.input.shape:
            window, weights = Window(source.shape[:2]), weights.reshape(len(weights), *source.shape)
        flip = _flip(source.type, bits)
        less = flip * weights.reshape(len(weights), -1).sum(axis=1)
        moved = replace(form, layer_bias=form.layer_bias + less, low=form.low - less, high=form.high - less)
        return LoopedConv(source, layer.output, window, weights, flip, layer.input_zero - flip, moved)

    @property
    def positions(self) -> int:
        """Pixels of the result."""
        return self.output.height * self.output.width

    def sums(self, bits: int) -> IntType:
        """Holds all raw sums of inputs of so many bits, partial ones included."""
        low, high = raw_range(self.weights, IntType(bits, True))
        return IntType.holding(min(int(low.min()), -1), int(high.max()))


@dataclass(frozen=True, eq=False)
class LoopedPool:
    """A maximum over windows, of integers as :class:`LoopedConv` has them; ``pad`` is less than all of them."""

    input: FeatureMap
    output: FeatureMap
    window: Window
    flip: int
    pad: int

    @staticmethod
    def of(op: MaxPool | GlobalMaxPool, bits: int) -> "LoopedPool":
        """ModelError where its results are limited further."""
        source = op.input
        if op.clamp[0] > source.type.min or op.clamp[1] < source.type.max:
            raise ModelError(f"a maximum limited to {op.clamp[0]} to {op.clamp[1]} is in no loop (limit {source.type})")
        window = op.window if isinstance(op, MaxPool) else Window(source.shape[:2])
        return LoopedPool(source, op.output, window, _flip(source.type, bits), -1 << bits - 1)

    @property
    def positions(self) -> int:
        """Pixels of the result."""
        return self.output.height * self.output.width


#: What is in a loop.
Looped = LoopedConv | LoopedPool


def _flip(type_: IntType, bits: int) -> int:
    """What is taken off integers of a type without a sign so that they have one in so many bits."""
    return 0 if type_.signed or type_.width < bits else 1 << bits - 1


def joint_form(layers: Mapping[int, LoopedConv], sums: IntType, out: IntType) -> LoadForm:
    """One form of a requantiser whose constants are loaded, in which those of all ``layers`` are proved.

    LoopedError names the first layer, by its number, that has no constants in the widest one.
    """
    forms = [choose(layer.requantization, sums, out, DIGIT_BITS, None) for layer in layers.values()]
    operand = IntType(max(form.operand.width for form in forms), True)
    rounds = any(form.rounds for form in forms)
    deepest = WIDEST - out.width - 2
    at = min(layers)
    for digits in range(1, (WIDEST - operand.width) // DIGIT_BITS + 1):
        for shift in sorted({min(form.shift, deepest) for form in forms}):
            found = LoadForm(None, operand, digits * DIGIT_BITS, shift, rounds)
            proved = (within(found, layer.requantization, sums, out)[1].all() for layer in layers.values())
            failed = next((n for n, all_ in zip(layers, proved, strict=False) if not all_), None)
            if failed is None:
                return found
            at = failed
    raise LoopedError(at, "its scales are too far from those of others for one requantiser")


@dataclass(frozen=True, eq=False)
class LoopedLayers(Operator):
    """``layers``, each reading the one before, computed one after the other."""

    layers: tuple[MacOperator | MaxPool | GlobalMaxPool, ...]

    def __post_init__(self):
        if not any(isinstance(layer, MacOperator) for layer in self.layers):
            raise ModelError("a loop has no layer with weights (limit 1 or more)")
        for n, layer in enumerate(self.layers):
            if not isinstance(layer, MacOperator | MaxPool | GlobalMaxPool):
                raise LoopedError(n, f"{type(layer).__name__} is in no loop (limit Conv, Dense and MaxPool)")
            if n and layer.input != self.layers[n - 1].output:
                raise LoopedError(n, f"it reads {layer.input}, not {self.layers[n - 1].output}")

    @property
    def input(self) -> FeatureMap:
        """What the first reads."""
        return self.layers[0].input

    @property
    def output(self) -> FeatureMap:
        """What the last gives."""
        return self.layers[-1].output

    @property
    def parts(self) -> tuple[Operator, ...]:
        return self.layers

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    def golden(self, x: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            x = layer.golden(x)
        return x

    def units(self) -> Iterable[OperatorUnit]:
        """None are offered of themselves: what a memory gives is not known here."""
        return ()

    @cached_property
    def bits(self) -> int:
        """Those of a place in the frame buffer. LoopedError where an integer has more than :data:`WIDTH`."""
        for n, layer in enumerate(self.layers):
            for type_ in (layer.input.type, layer.output.type):
                if type_.width > WIDTH:
                    raise LoopedError(n, f"integers of {type_} are in no loop (limit {WIDTH} bits)")
        return max(map_.type.width for map_ in (self.input, *(layer.output for layer in self.layers)))

    @cached_property
    def sums(self) -> IntType:
        """Holds the raw sums of all layers."""
        return max((conv.sums(self.bits) for conv in self._convolutions.values()), key=_width)

    @cached_property
    def stored(self) -> IntType:
        """Holds all results."""
        return IntType(self.bits + 1, True)

    @cached_property
    def form(self) -> LoadForm:
        """What the requantiser is made for."""
        return joint_form(self._convolutions, self.sums, self.stored)

    @cached_property
    def looped(self) -> tuple[Looped, ...]:
        """The layers as the loop sees them, with constants for its requantiser."""
        return tuple(self._proved(layer) if isinstance(layer, LoopedConv) else layer for layer in self._unproved)

    @property
    def requantization(self) -> Requantization:
        """That of the first layer that has one."""
        return next(layer.requantization for layer in self.looped if isinstance(layer, LoopedConv))

    def _proved(self, conv: LoopedConv) -> LoopedConv:
        return replace(conv, requantization=fit_within(self.form, conv.requantization, self.sums, self.stored))

    @cached_property
    def weight(self) -> IntType:
        """Holds all weights. LoopedError where one has more than :data:`WIDTH` bits."""
        for n, conv in self._convolutions.items():
            found = IntType.holding(min(int(conv.weights.min()), -1), int(conv.weights.max()))
            if found.width > WIDTH:
                raise LoopedError(n, f"weights of {found} are in no loop (limit {WIDTH} bits)")
        return IntType(WIDTH, True)

    @cached_property
    def _unproved(self) -> list[Looped]:
        found = []
        for n, layer in enumerate(self.layers):
            try:
                found.append(self._of(layer))
            except ModelError as error:
                raise LoopedError(n, *error.problems) from None
        return found

    def _of(self, layer: MacOperator | MaxPool | GlobalMaxPool) -> Looped:
        if isinstance(layer, MacOperator):
            return LoopedConv.of(layer.layer, layer.input, self.bits)
        return LoopedPool.of(layer, self.bits)

    @property
    def _convolutions(self) -> dict[int, LoopedConv]:
        """By their numbers."""
        return {n: layer for n, layer in enumerate(self._unproved) if isinstance(layer, LoopedConv)}

    def check(self) -> None:
        """LoopedError where they cannot be computed one after the other on one array."""
        _ = self.weight, self.looped


def _width(type_: IntType) -> int:
    return type_.width
