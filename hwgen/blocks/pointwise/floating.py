"""Operators without an integer form, computed in floating point as ONNX Runtime does."""

from dataclasses import dataclass

import numpy as np

from hwgen.blocks.operator import GoldenOnly, SeveralInputs
from hwgen.graph.ir import Node
from hwgen.graph.network import Site
from hwgen.graph.semantics.float_model import run_node
from hwgen.graph.types import FeatureMap, Quantization


@dataclass(frozen=True, eq=False)
class Float(SeveralInputs, GoldenOnly):
    """The ONNX operator ``node`` between dequantisation and quantisation to ``target``.

    ``operands`` has a constant, or None for the next of ``inputs``, whose elements lie at ``orders`` in their
    streams; those of the result go to ``places``.
    """

    output: FeatureMap
    quantizations: tuple[Quantization, ...]
    target: Quantization
    clamp: tuple[int, int]
    site: Site

    sites = ("Float",)

    @property
    def node(self) -> Node:
        """The node of the model that it computes, as the file has it."""
        return self.site.attributes["node"]

    @property
    def gap(self) -> str:
        return f"{self.node.op} in floating point"

    @classmethod
    def from_site(cls, site: Site) -> "Float | None":
        maps, quantizations = zip(*((tensor.map, tensor.quantization) for tensor in site.inputs), strict=True)
        return cls(maps, site.output.map, quantizations, site.output.quantization, site.clamp, site)

    def golden(self, *inputs: np.ndarray) -> np.ndarray:
        settings = self.site.attributes
        streams = iter(zip(inputs, self.quantizations, settings["orders"], strict=True))
        operands = []
        for is_stream, constant in zip(settings["streams"], settings["constants"], strict=True):
            operands.append(self._operand(*next(streams)) if is_stream else constant)
        real = run_node(self.node, operands).astype(np.float32, copy=False)
        count = len(inputs[0])
        flat = np.empty((count, self.output.elements), np.float32)
        flat[:, settings["places"].reshape(-1)] = real.reshape(count, -1)
        stream = flat.reshape(count, *self.output.shape)
        stream = self.site.function(stream) if self.site.function else stream
        result = self.target.quantize(stream).astype(np.int64)
        return np.clip(result, *self.clamp).astype(self.output.type.dtype)

    @staticmethod
    def _operand(x: np.ndarray, quantization: Quantization, order: np.ndarray) -> np.ndarray:
        return quantization.dequantize(x.reshape(len(x), -1)[:, order])
