"""The numbers in an ONNX file: tensors as numpy arrays, checked before memory is taken."""

import math
from pathlib import Path

import numpy as np
import onnx

from hwgen.graph.ir import TensorInfo
from hwgen.graph.onnx.input_shape import shape_of_input
from hwgen.graph.semantics.infer import MAX_ELEMENTS, MAX_RANK

INTEGERS = tuple(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64))
NARROW_TYPES = {"INT2": (-2, 1), "INT4": (-8, 7), "UINT2": (0, 3), "UINT4": (0, 15)}
#: Types that are read as float32, wherever in the model they stand.
WIDENED = dict.fromkeys(
    (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE), onnx.TensorProto.FLOAT
)
_INPUT_TYPES = ("FLOAT", "INT8", "UINT8", "INT16", "UINT16")
_TENSOR_TYPES = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "BOOL", *INTEGERS, *NARROW_TYPES)
_REMEDIES = {"FLOAT8": "quantise to INT8 or UINT8, or give the float model"}


def type_name(code: int) -> str:
    """What ONNX calls the type with number ``code``, for messages."""
    return onnx.TensorProto.DataType.Name(code) if code in onnx.TensorProto.DataType.values() else f"type {code}"


def input_info(proto: onnx.ValueInfoProto, wanted: tuple[int, ...] | None) -> TensorInfo:
    """Shape and type of a model's input; ValueError, to be put behind "input NAME", where it cannot be taken."""
    tensor = proto.type.tensor_type
    kind = type_name(tensor.elem_type)
    if kind not in _INPUT_TYPES:
        raise ValueError(
            f"has the type {kind}; {', '.join(_INPUT_TYPES)} are supported: export the model with one of those"
        )
    dims = [dim.dim_value or dim.dim_param or "?" for dim in tensor.shape.dim]
    return TensorInfo(shape_of_input(proto.name, dims, wanted), onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def decode(tensor: onnx.TensorProto, folder: Path) -> np.ndarray:
    """The tensor's values, float32 for BFLOAT16; ValueError where they are of an unknown type or not all there."""
    kind = type_name(tensor.data_type)
    if kind not in _TENSOR_TYPES:
        raise ValueError(f"type {kind} is not supported; {_REMEDIES.get(kind[:6], 'store it as FLOAT')}")
    brain = kind == "BFLOAT16"  # the upper half of a float32, which numpy has no type for
    dtype = np.dtype(np.uint16 if brain else onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0 or len(shape) > MAX_RANK or math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of shape {list(shape)}; the limit is {MAX_ELEMENTS} elements")
    count = math.prod(shape)
    if kind in NARROW_TYPES:
        return _narrow(tensor, folder, shape, 4 if kind.endswith("4") else 2)
    if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.HasField("raw_data"):
        values = _from_fields(tensor, shape)
        return values.astype(np.float32) if brain else values
    raw = _raw(tensor, folder, count * dtype.itemsize)
    values = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    return (values.astype(np.uint32) << 16).view(np.float32) if brain else values


def _narrow(tensor: onnx.TensorProto, folder: Path, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Numbers of 2 or 4 bits, several in a byte, the first in the lowest bits."""
    raw = _raw(tensor, folder, -(-math.prod(shape) * bits // 8))
    parts = np.frombuffer(raw, np.uint8)[:, None] >> np.arange(0, 8, bits) & ((1 << bits) - 1)
    values = parts.reshape(-1)[: math.prod(shape)].astype(np.int8)
    if type_name(tensor.data_type).startswith("UINT"):
        return values.astype(np.uint8).reshape(shape)
    return (values - ((values >> (bits - 1)) << bits)).astype(np.int8).reshape(shape)


def _raw(tensor: onnx.TensorProto, folder: Path, size: int) -> bytes:
    """The ``size`` bytes of a tensor, of a narrow type maybe one in each field; ValueError where they are others."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _external(tensor, folder, size)
    raw = tensor.raw_data if tensor.HasField("raw_data") else bytes(value & 0xFF for value in tensor.int32_data)
    if len(raw) != size:
        raise ValueError(f"{len(raw)} bytes of data for shape {list(tensor.dims)}, which takes {size}")
    return raw


def _from_fields(tensor: onnx.TensorProto, shape: tuple[int, ...]) -> np.ndarray:
    """Values in the typed, repeated fields."""
    try:
        return np.array(onnx.numpy_helper.to_array(tensor)).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"its data does not fill shape {list(shape)}") from None


def _external(tensor: onnx.TensorProto, folder: Path, size: int) -> bytes:
    """Bytes beside the model; they must lie in its folder, links followed."""
    settings = {entry.key: entry.value for entry in tensor.external_data}
    folder = folder.resolve()
    location = settings.get("location", "")
    try:
        target = (folder / location).resolve()
        offset, length = int(settings.get("offset", 0)), int(settings.get("length", size))
        if not location or not target.is_relative_to(folder):
            raise ValueError(f"its external data {location!r} lies outside the model's folder; move it there")
        if offset < 0 or length != size or target.stat().st_size < offset + size:
            raise ValueError(f"its external data {location!r} does not hold {size} bytes at {offset}")
        with target.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise ValueError(f"cannot read its external data {location!r}: {error.strerror}") from None
