"""The quantised network: integer operators on feature maps, ready for hardware.

Between the imported graph and this one stand *sites*: one float operator with the quantisations around it.
An operator class (``hwgen.blocks``) turns the sites it understands into operators; ``hwgen.graph.lower.lower`` asks
them in turn. The golden interpreter needs nothing of an operator but :class:`GoldenOperator`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from hwgen.graph.semantics.operators import OPERATORS

from .errors import quoted
from .expression import Expression
from .ir import Tail
from .types import FeatureMap, Quantization

#: What a :class:`Site` may be.
SITE_OPS = tuple(sorted({operator.site for operator in OPERATORS.values()} - {""}))


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
    - ``raw`` says that nothing quantises the result: the output is the sum itself, bias added and zero points taken
      off, and ``output.quantization`` has the scale (or that of every channel) that makes real numbers of it.
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
    raw: bool = False
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def weights(self) -> QuantizedConstant:
        """``weight`` of an operator that has some; ValueError for others."""
        if self.weight is None:
            raise ValueError(f"{self.op} has no weights")
        return self.weight

    @property
    def varying(self) -> tuple[QuantizedTensor, ...]:
        """The inputs that are not constant."""
        return tuple(tensor for tensor in self.inputs if tensor.name not in self.constants)

    @property
    def input(self) -> QuantizedTensor:
        """The first of ``inputs``: all there is for most operators."""
        return self.inputs[0]


class GoldenOperator(Protocol):
    """What the golden interpreter, and whoever reads a network, needs of an operator."""

    @property
    def input(self) -> FeatureMap:
        """The first of :attr:`inputs`."""

    @property
    def inputs(self) -> tuple[FeatureMap, ...]:
        """What it reads."""

    @property
    def output(self) -> FeatureMap:
        """What it makes."""

    def infer(self, *inputs: FeatureMap) -> FeatureMap:
        """``output``, after checking that ``inputs`` are what the operator was made for."""

    def golden(self, *inputs: Any, **unused: Any) -> np.ndarray:
        """The definition: integers [N, H, W, C] of each of ``inputs`` to integers [N, H, W, C]."""

    @property
    def parts(self) -> tuple["GoldenOperator", ...]:
        """The layers that it is made of, each reading the one before; itself unless there are several."""


#: The operators of a network: :class:`hwgen.blocks.operator.Operator` where hardware is made of it.
Op = TypeVar("Op", bound=GoldenOperator, covariant=True)


class OperatorClass(Protocol[Op]):
    """A class of operators, as lowering asks one after the other, for a site whose ``op`` is one of ``sites``."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The ``op`` of sites that it may take."""

    def from_site(self, site: Site) -> Op | None:
        """The operator for ``site``; None where it is not of this class."""


@dataclass(frozen=True, eq=False)
class Layer(Generic[Op]):
    """An operator in its place: which tensors it reads, which it writes.

    ``name`` is hwgen's own, short; ``node`` is the model's for what the layer was made of, of any length.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    output: str
    node: str = ""

    def __post_init__(self):
        object.__setattr__(self, "node", self.node or self.name)

    @property
    def place(self) -> str:
        """How error messages name it: by both names, a long one shortened in its middle."""
        if self.name == self.node:
            return f"node {quoted(self.name)}"
        return f"layer {self.name!r} (node {quoted(self.node)})"


@dataclass(frozen=True, eq=False)
class Output:
    """A result of the model: the streams that it is made of, and what the host does with them.

    ``name`` and ``shape`` (without batch) are ONNX's. The host dequantises the ``streams`` (one, unless they are first
    combined in real numbers), applies ``function`` to them, in float32, and puts the elements in ONNX's order:
    ``order`` is ``"channels_last"`` or ``"flat"`` (they lie in the stream as in the result), or ``"places"``, which
    then holds each element's place in the stream, one after the other. ``integer`` says that the model itself gives
    the integers.
    """

    name: str
    streams: tuple[QuantizedTensor, ...]
    shape: tuple[int, ...]
    order: str = "channels_last"
    function: Expression | None = None
    places: np.ndarray | None = None
    integer: bool = False

    def real(self, *integers: np.ndarray) -> np.ndarray:
        """The model's own result, [N, *shape], from each stream's integers [N, H, W, C]; float32 unless ``integer``."""
        values = [s.quantization.dequantize(x) for s, x in zip(self.streams, integers, strict=True)]
        result = integers[0] if self.integer else self.function(*values) if self.function else values[0]
        if self.order == "channels_last":
            result = result.transpose(0, 3, 1, 2)
        flat = result.reshape(len(result), -1)
        return (flat if self.places is None else flat[:, self.places]).reshape(len(flat), *self.shape)


@dataclass(frozen=True, eq=False)
class Network(Generic[Op]):
    """A chain or graph of integer layers in topological order.

    ``input_shape`` is the ONNX shape (without batch) of a frame and ``input_order`` how its elements lie in the stream:
    ``"channels_last"``, or ``"flat"`` where the two are the same. ``integer_input`` says that the model itself takes
    integers. ``input_limits`` are the least and greatest integer that a frame becomes, where the model confines them
    more than their type does (None elsewhere). ``input_function`` is what the host computes of a frame, as [N, 1, 1,
    elements] in ONNX's order, before it quantises it. ``head`` names what the host does with the only output: any of
    ``"softmax"``, ``"logsoftmax"``, ``"argmax"``, ``"topk"``; ``tail`` is what else of the model is left to it.
    ``constants`` are streams [1, H, W, C] that are the same for every frame, where operators have not taken them in.
    """

    name: str
    input: QuantizedTensor
    input_shape: tuple[int, ...]
    outputs: tuple[Output, ...]
    layers: tuple[Layer[Op], ...]
    tensors: Mapping[str, QuantizedTensor]
    head: tuple[str, ...] = ()
    input_order: str = "channels_last"
    integer_input: bool = False
    input_limits: tuple[int, int] | None = None
    input_function: Expression | None = None
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    tail: Tail | None = None

    @property
    def input_range(self) -> tuple[int, int]:
        """The least and greatest integer that a host makes of a frame."""
        return self.input_limits or self.input.map.type.ends

    @property
    def results(self) -> tuple[QuantizedTensor, ...]:
        """The streams that leave the network, each once, in the order of the outputs."""
        return tuple({stream.name: stream for output in self.outputs for stream in output.streams}.values())

    def own_name(self, name: str) -> str:
        """The layer's own name for either of its two; ``name`` itself where no layer has it."""
        return next((layer.name for layer in self.layers if name in (layer.name, layer.node)), name)

    @property
    def output(self) -> QuantizedTensor:
        """The first of :attr:`results`: the only one of most networks."""
        return self.results[0]

    def __repr__(self) -> str:
        layers = [f"  {x.name:15} {type(x.op).__name__}, {self.tensors[x.output].map}" for x in self.layers]
        return screenful([f"Network {self.name}: {len(layers)} layers", *layers])

    def __str__(self) -> str:
        ends = ", ".join(str(stream.map) for stream in self.results)
        lines = [f"network {self.name}: {self.input.map} -> {ends}"]
        lines += [
            f"  {layer.output} = {layer.name}({', '.join(layer.inputs)}): "
            f"{type(layer.op).__name__} {self.tensors[layer.output].map}"
            for layer in self.layers
        ]
        return "\n".join(lines)


def screenful(lines: list[str], most: int = 24) -> str:
    """``lines`` as a REPL shows them: at most ``most``, of which the last says how many are left out."""
    cut = [line[:120] for line in lines]
    return "\n".join(cut if len(cut) <= most else [*cut[: most - 1], f"  ... and {len(cut) - most + 1} more"])
