"""The input of a model, from its file alone: enough to judge frames by before anything of the model is understood."""

from collections.abc import Mapping
from pathlib import Path

from hwgen.graph.errors import HwgenError
from hwgen.graph.ir import TensorInfo
from hwgen.graph.onnx.model_file import load, names_read
from hwgen.graph.onnx.tensor_data import WIDENED, input_info


def model_input(
    path: str | Path, input_shape: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[str, TensorInfo] | None:
    """Name, shape and type of the one input of the ONNX file at ``path`` that any node reads.

    None where there are several or none, and where the file or the shape cannot be taken: reading the model says why.
    """
    try:
        graph = load(Path(path)).graph
        constant = {tensor.name for tensor in graph.initializer}
        read = {name for node in graph.node for name in names_read(node)}
        (proto,) = (value for value in graph.input if value.name in read - constant)
        if proto.type.tensor_type.elem_type in WIDENED:
            proto.type.tensor_type.elem_type = WIDENED[proto.type.tensor_type.elem_type]
        return proto.name, input_info(proto, (input_shape or {}).get(proto.name))
    except (HwgenError, ValueError):
        return None
