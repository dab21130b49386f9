"""The golden model: integers in, integers out, every tensor on the way. Operators bring the arithmetic."""

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from .errors import InputError
from .network import Network

#: Integers of the largest tensor that are computed at a time: few enough to stay in the cache.
CHUNK = 1 << 19


def run(network: Network, frames: np.ndarray, keep: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Integers [N, H, W, C] of the tensors in ``keep`` (all unless given) for input integers ``frames`` [N, H, W, C].

    Raises InputError where frames have another shape or leave the input's range.
    """
    frames = _checked(network, frames)
    keep = (network.input.name, *(layer.output for layer in network.layers)) if keep is None else tuple(keep)
    chunks = _chunks(network, frames)
    workers = min(os.cpu_count() or 1, len(chunks))
    if workers == 1:
        parts = [_run(network, chunk, keep) for chunk in chunks]
    else:  # each chunk has a processor to itself, so that BLAS must not take them all
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda chunk: _run(network, chunk, keep), chunks))
    return {name: np.concatenate([part[name] for part in parts]) for name in keep}


def output(network: Network, frames: np.ndarray) -> np.ndarray:
    """The output's integers alone, so that memory does not grow with the layers; otherwise like :func:`run`."""
    return run(network, frames, (network.output.name,))[network.output.name]


def _chunks(network: Network, frames: np.ndarray) -> list[np.ndarray]:
    """Frames in parts; at least one, which may be empty."""
    largest = max(tensor.map.elements for tensor in network.tensors.values())
    size = max(CHUNK // largest, 1)
    return [frames[start : start + size] for start in range(0, max(len(frames), 1), size)]


def _run(network: Network, frames: np.ndarray, keep: Collection[str]) -> dict[str, np.ndarray]:
    """Layer by layer; what nobody reads any more is dropped."""
    values = {network.input.name: frames}
    last = {name: at for at, layer in enumerate(network.layers) for name in layer.inputs}
    for at, layer in enumerate(network.layers):
        operands = [network.constants[n] if n in network.constants else values[n] for n in layer.inputs]
        values[layer.output] = layer.op.golden(*operands)
        for name in set(layer.inputs):
            if last[name] == at and name not in keep:
                values.pop(name, None)
    return {name: values[name] for name in keep}


def network_input(network: Network, array: np.ndarray) -> np.ndarray:
    """Frames of the model's own shape ([N, *input_shape], or one frame without N) as integers [N, H, W, C].

    Real numbers are quantised as the model does it, what it computes of them before included; a model that takes
    integers has them clipped where it does so itself, and reordered. Raises InputError where the shape is another or
    a number is not finite.
    """
    array = np.asarray(array)
    if array.shape == network.input_shape:
        array = array[None]
    if array.shape[1:] != network.input_shape or array.ndim != len(network.input_shape) + 1:
        raise InputError(
            f"frames of shape {list(array.shape)}; {network.name!r} takes {['N', *network.input_shape]}, "
            f"or one frame of {list(network.input_shape)}"
        )
    return _to_stream(network, _clipped(network, array) if network.integer_input else _quantized(network, array))


def network_outputs(network: Network, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The model's own results by name, [N, *shape], from the integers [N, H, W, C] of at least all ``results``."""
    return {
        output.name: output.real(*(tensors[stream.name] for stream in output.streams)) for output in network.outputs
    }


def network_output(network: Network, integers: np.ndarray) -> np.ndarray:
    """Integers [N, H, W, C] of a network with one output and stream as the model's own result: [N, *shape]."""
    (output,) = network.outputs
    return output.real(integers)


def _quantized(network: Network, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise InputError(f"frames of type {array.dtype}; numbers are needed")
    if not np.isfinite(array).all():
        raise InputError("a frame holds numbers that are NaN or infinite; give finite numbers")
    if network.input_function is not None:
        flat = np.asarray(array, np.float32).reshape(len(array), 1, 1, -1)
        array = network.input_function(flat).reshape(array.shape)
    return np.clip(network.input.quantization.quantize(array), *network.input_range)


def _clipped(network: Network, array: np.ndarray) -> np.ndarray:
    """Integers that the model's type holds, as far as the model lets them."""
    kind = np.iinfo(network.input.map.type.dtype)
    if network.input_limits is None or array.dtype.kind not in "iu" or not array.size:
        return array
    return np.clip(array, *network.input_limits) if kind.min <= array.min() and array.max() <= kind.max else array


def _to_stream(network: Network, array: np.ndarray) -> np.ndarray:
    height, width, channels = network.input.map.shape
    if network.input_order == "flat":
        return _checked(network, array.reshape(len(array), height, width, channels))
    channels_first = array.reshape(len(array), channels, height, width)
    return _checked(network, np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1)))


def _checked(network: Network, frames: np.ndarray) -> np.ndarray:
    frames, kind = np.asarray(frames), network.input.map.type
    if frames.ndim != 4 or frames.shape[1:] != network.input.map.shape:
        raise InputError(f"integers of shape {list(frames.shape)}; {['N', *network.input.map.shape]} is needed")
    if frames.dtype.kind not in "iu":
        raise InputError(f"numbers of type {frames.dtype}; the network takes {kind} integers")
    if frames.size and not (kind.min <= frames.min() and frames.max() <= kind.max):
        raise InputError(f"integers from {frames.min()} to {frames.max()}; {kind} holds {kind.min} to {kind.max}")
    return frames.astype(kind.dtype, copy=False)
