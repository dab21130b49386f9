"""ONNX files as protobuf messages, before anything in them is understood."""

from collections.abc import Iterable
from pathlib import Path

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError

from hwgen.graph.errors import ModelError

MAX_FILE_BYTES = 1 << 31  # a protobuf cannot be longer
MAX_NODES = 100_000  # of a model once its functions are unfolded
_TORCH = "export it with torch.onnx.export(model.eval(), frames, 'model.onnx')"
_KERAS = "export it with `python -m tf2onnx.convert --keras MODEL --output model.onnx`"
_WAYS_OUT = {  # by the end of a file's name
    ".pt": _TORCH,
    ".pth": _TORCH,
    ".tflite": "convert it with `python -m tf2onnx.convert --tflite MODEL --output model.onnx`",
    ".h5": _KERAS,
    ".keras": _KERAS,
    ".pb": "convert it with `python -m tf2onnx.convert --saved-model FOLDER --output model.onnx`",
}
MAX_CALLS = 50  # functions that call each other


def load(path: Path) -> onnx.ModelProto:
    """The model in a file; ModelError where there is none that can be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelError(f"{str(path)!r} is {path.stat().st_size} bytes long; an ONNX file has at most 2 GiB")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r}: {error.strerror}; check the path") from None
    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RuntimeError, ValueError):
        model = onnx.ModelProto()
    if model.ir_version and model.opset_import and (model.graph.node or model.graph.output):
        return model
    if data[:1] == b"\x08":  # an ONNX file starts with its ir_version: protobuf field 1, a varint
        raise ModelError(f"{str(path)!r} is a truncated or corrupted ONNX file; copy or export it again")
    way = _WAYS_OUT.get(path.suffix.lower(), "give a model exported to .onnx")
    raise ModelError(f"{str(path)!r} is not an ONNX file; {way}")


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own: their nodes stand where they were called."""
    if not model.functions:
        return model
    nodes = {(function.domain, function.name): function.node for function in model.functions}
    try:
        total = _count(model.graph.node, nodes, 0)
        if total > MAX_NODES:
            raise ModelError(f"the functions of the model unfold to {total} nodes; at most {MAX_NODES} are possible")
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, TypeError, ValueError, DecodeError):
        names = ", ".join(sorted(str(function.name) for function in model.functions)[:5])
        raise ModelError(
            f"the functions that the model defines ({names}) cannot be inlined; export it without"
        ) from None


def _count(
    nodes: Iterable[onnx.NodeProto], functions: dict[tuple[str, str], Iterable[onnx.NodeProto]], deep: int
) -> int:
    """Nodes when all functions are unfolded; more than MAX_NODES where one calls itself."""
    if deep > MAX_CALLS:
        return MAX_NODES + 1
    total = 0
    for node in nodes:
        inner = functions.get((node.domain, node.op_type))
        total += 1 if inner is None else _count(inner, functions, deep + 1)
        if total > MAX_NODES:
            break
    return total


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators; 0 where it imports none."""
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def graphs_of(attribute: onnx.AttributeProto) -> tuple[onnx.GraphProto, ...]:
    """The graphs in an attribute: branches and bodies."""
    return (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else []))


def names_read(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, those that its subgraphs take from outside included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in graphs_of(attribute):
            inner = [name for each in graph.node for name in names_read(each)]
            names += [*inner, *(value.name for value in graph.output)]
    return [name for name in names if name]


def ordered(protos: Iterable[onnx.NodeProto]) -> list[tuple[int, onnx.NodeProto]]:
    """Nodes with their places in the file, each behind those that write what it reads."""
    waiting = list(enumerate(protos))
    writers = {name for _, proto in waiting for name in proto.output if name}
    ordered: list[tuple[int, onnx.NodeProto]] = []
    while waiting:
        late = []
        for index, proto in waiting:
            if writers.isdisjoint(names_read(proto)):
                ordered.append((index, proto))
                writers.difference_update(proto.output)
            else:
                late.append((index, proto))
        if len(late) == len(waiting):  # a circle: reported where the order is checked
            return ordered + late
        waiting = late
    return ordered
