"""What an element-wise function of streams is, and what hardware for it has to say."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.hdl import Module, Value

from hwgen.blocks.pointwise.fixed_constant import FixedConstant
from hwgen.blocks.streamed import Pipeline
from hwgen.graph.expression import Expression
from hwgen.graph.types import IntType, Quantization


@dataclass(frozen=True, eq=False)
class Definition:
    """``function`` of operands of ``kinds``, quantised to ``target`` and limited to ``clamp``."""

    function: Expression
    kinds: tuple[Quantization, ...]
    target: Quantization
    clamp: tuple[int, int]

    def __call__(self, *integers: np.ndarray) -> np.ndarray:
        """The integers, int64, for [N, H, W, C] that broadcast to each other."""
        return self.quantized(self.function(*(k.dequantize(x) for k, x in zip(self.kinds, integers, strict=True))))

    def quantized(self, real: np.ndarray) -> np.ndarray:
        """Integers int64 of real numbers of any shape, within ``clamp``."""
        return np.clip(self.target.quantize(real).astype(np.int64), *self.clamp)

    @property
    def bits(self) -> int:
        """Of all operands side by side."""
        return sum(kind.type.width for kind in self.kinds)

    @property
    def uniform(self) -> bool:
        """Whether every element is treated alike."""
        return self.function.per_tensor and not any(kind.per_channel for kind in self.kinds)

    @property
    def out(self) -> IntType:
        """The type of the result."""
        return self.target.type

    @property
    def combinations(self) -> list[np.ndarray]:
        """All that the operands can be together, int64 [2^bits] each, by their bits, the first operand lowest."""
        places, grids = np.arange(1 << self.bits), []
        for kind in self.kinds:
            bits = places & ((1 << kind.type.width) - 1)
            grids.append(np.where(bits > kind.type.max, bits - (1 << kind.type.width), bits))
            places = places >> kind.type.width
        return grids


class Combination(Pipeline):
    """What makes an element of the result of one of each operand, in every lane alike. Constants that differ from place
    to place are ``fixed``; they come behind the streams."""

    fixed: Sequence[FixedConstant]

    @abstractmethod
    def emit(self, m: Module, lane: int, operands: list[Value]) -> Value:
        """Add a lane to ``m``; gives its result :attr:`latency` cycles after ``operands``."""


@dataclass(frozen=True, eq=False)
class Form(Combination):
    """Hardware for ``definition``."""

    definition: Definition

    fixed: Sequence[FixedConstant]
