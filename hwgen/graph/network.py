"""The quantised network: integer operators on feature maps, ready for hardware.

Between the imported graph and this one stand *sites*: one float operator with the quantisations around it.
An operator class (``hwgen.blocks``) turns the sites it understands into operators; ``hwgen.graph.lower`` asks
them in turn. The golden interpreter needs nothing of an operator but :class:`GoldenOperator`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .expression import Expression
from .types import FeatureMap, Quantization

#: What a :class:`Site` may be.
SITE_OPS = (
    "Conv", "ConvTranspose", "Gemm", "MaxPool", "AveragePool", "GlobalAveragePool", "Requantize", "Add", "Mul",
    "Elementwise", "Concat", "Rearrange", "Float",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """Integer weights as stored in the model, in the operator's ONNX layout.

    ``scale`` (float32) and ``zero_point`` (int64) are arrays: one value, or one per output channel.
    """

    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray


@dataclass(frozen=True)
class QuantizedTensor:
    """A stream between operators: its feature map and what its integers mean."""

    name: str
    map: FeatureMap
    quantization: Quantization


@dataclass(frozen=True, eq=False)
class Site:
    """One float operator between DequantizeLinear and QuantizeLinear, in normal form.

    - ``op`` is one of :data:`SITE_OPS`.
    - ``weight`` for Conv is [out, in/group, kh, kw], for ConvTranspose [in, out/group, kh, kw]; for Gemm
      [out, features] with the features in the raster order of ``input.map`` (channels last), so that Flatten needs
      no hardware.
    - ``bias`` is int64 in units of ``input.scale * weight.scale``; None where there is none.
    - ``attributes`` of windowed operators are complete: ``kernel``, ``strides``, ``dilations`` (h, w),
      ``pads`` (top, left, bottom, right), ``group``, and ``count_include_pad`` for AveragePool.
    - ``attributes`` of ``Rearrange`` are ``places`` [H, W, C], where each element of the output comes from in the
      raster of the input (-1: nowhere), and ``fill``, the integer put there; of ``Concat`` ``axis`` (0 to 2: rows,
      columns, channels).
    - ``clamp`` is the integer range of the output, with a fused Relu or Clip taken into account.
    - ``function`` is what happens in real numbers between the operator and the quantisation, where that is more
      than ``clamp``; for ``Elementwise`` it is all that happens, on every input.
    - ``constants`` has the integers [1, H, W, C] of those inputs, by name, that are the same for every frame.
    """

    name: str
    op: str
    inputs: tuple[QuantizedTensor, ...]
    output: QuantizedTensor
    attributes: Mapping[str, Any]
    clamp: tuple[int, int]
    weight: QuantizedConstant | None = None
    bias: np.ndarray | None = None
    function: Expression | None = None
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def varying(self) -> tuple[QuantizedTensor, ...]:
        """The inputs that are not constant."""
        return tuple(tensor for tensor in self.inputs if tensor.name not in self.constants)

    @property
    def input(self) -> QuantizedTensor:
        """The first of ``inputs``: all there is for most operators."""
        return self.inputs[0]


class GoldenOperator(Protocol):
    """What the golden interpreter needs of an operator."""

    def infer(self, *inputs: FeatureMap) -> FeatureMap: ...

    def golden(self, *inputs: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Layer:
    """An operator in its place: which tensors it reads, which it writes."""

    name: str
    op: GoldenOperator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, eq=False)
class Network:
    """A chain or graph of integer layers in topological order.

    ``output_shape`` is the ONNX shape (without batch) of the result and ``output_order`` how its elements lie
    in the stream: ``"channels_last"``, or ``"flat"`` where the two are the same; ``input_shape`` and
    ``input_order`` likewise. ``integer_input`` says that the model itself takes integers. ``head`` names what the
    host does with the dequantised result: any of ``"softmax"``, ``"logsoftmax"``, ``"argmax"``.
    ``constants`` are streams [1, H, W, C] that are the same for every frame, where operators have not taken them in.
    """

    name: str
    input: QuantizedTensor
    output: QuantizedTensor
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    tensors: Mapping[str, QuantizedTensor]
    output_order: str = "channels_last"
    head: tuple[str, ...] = ()
    input_order: str = "channels_last"
    integer_input: bool = False
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"network {self.name}: {self.input.map} -> {self.output.map}"]
        lines += [
            f"  {layer.output} = {layer.name}({', '.join(layer.inputs)}): "
            f"{type(layer.op).__name__} {self.tensors[layer.output].map}"
            for layer in self.layers
        ]
        return "\n".join(lines)
