"""The golden model beside ONNX Runtime, tensor by tensor, integer by integer.

ONNX Runtime runs the model's own file, every integer tensor in it an output. Where the file has none (a float model)
or is in a format that ONNX Runtime does not run (QONNX), it runs the QDQ model that hwgen writes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hwgen.graph import golden
from hwgen.graph.errors import InputError
from hwgen.graph.ir import Graph
from hwgen.graph.network import Network
from hwgen.graph.onnx.writer import with_outputs, write_qdq
from hwgen.graph.passes.apart import SUFFIX
from hwgen.graph.types import FeatureMap
from hwgen.simulate.differences import RUNTIME, Difference, difference, joined
from hwgen.simulate.exact_session import exact_session

_BATCH = 16  # frames at a time, so that memory does not grow with them


@dataclass(frozen=True)
class Comparison:
    """What was compared: integers of ``tensors`` in ``model``; ``differences`` in the order of the network's layers."""

    model: str
    tensors: tuple[str, ...]
    integers: int
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether every integer that was compared is the same."""
        return not self.differences


def against_onnxruntime(model: Path, graph: Graph, network: Network, frames: np.ndarray) -> Comparison:
    """Compare ``network``, made of ``graph`` as read from ``model``, on ``frames`` [N, *input_shape].

    Raises InputError where ONNX Runtime is not installed or cannot run the model.
    """
    makers = {network.input.name: "input"} | {layer.output: layer.name for layer in network.layers}
    with TemporaryDirectory() as folder:
        runtime = Runtime.of(model, graph, network, Path(folder))
        found: list[Difference | None] = []
        counts = dict.fromkeys(runtime.names, 0)
        for start in range(0, len(frames), _BATCH):
            batch = frames[start : start + _BATCH]
            ours = golden.run(network, golden.network_input(network, batch), runtime.names)
            for name, theirs in runtime.integers(batch, ours).items():
                counts[name] += theirs.size
                found.append(difference(RUNTIME, name, makers.get(name, ""), ours[name], theirs, start))
    differences = joined(filter(None, found), {name: counts[name] for name in makers if name in counts})
    return Comparison(runtime.model, runtime.names, sum(counts.values()), differences)


@dataclass(frozen=True, eq=False)
class Runtime:
    """ONNX Runtime with the integer tensors of ``model`` as its outputs; ``names`` are the network's for them."""

    model: str
    session: Any
    outputs: tuple[str, ...]
    names: tuple[str, ...]
    maps: Mapping[str, FeatureMap]
    batches: bool  # takes any number of frames at a time; files of others may have a batch in their shapes

    @staticmethod
    def of(
        model: Path, graph: Graph, network: Network, folder: Path, opened: Callable[[bytes], Any] = exact_session
    ) -> "Runtime":
        """The file itself where it has integers that ``network`` knows, else ``graph``, written to ``folder``;
        ``opened`` makes the session."""
        maps = {name: tensor.map for name, tensor in network.tensors.items()}
        # The file has tensors without the batch that the network puts in front of them.
        known = {name.removesuffix(SUFFIX): name for name in maps} | {name: name for name in maps}
        refused = False
        for path, name in _files(model, graph, folder):
            data, names = with_outputs(path, known)
            session = opened(data) if names else None
            refused = refused or (bool(names) and session is None)
            integers = [output.name for output in session.get_outputs() if "int" in output.type] if session else []
            if integers:
                names = tuple(known[each] for each in integers)
                return Runtime(name, session, tuple(integers), names, maps, path is not model)
        if not refused:
            raise InputError(
                f"{str(model)!r} quantises nothing that the network computes, so there are no integers to compare; "
                "quantise its result, or simulate without it"
            )
        raise InputError(f"ONNX Runtime cannot run {str(model)!r}, nor what hwgen makes of it; simulate without it")

    def integers(self, frames: np.ndarray, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every tensor's integers [N, H, W, C] for ``frames`` as the model takes them.

        ``like`` has them as golden computes them: where the shape allows both channels first and channels last, what
        is nearer to it is meant.
        """
        source = self.session.get_inputs()[0]
        size = source.shape[0] if isinstance(source.shape[0], int) else len(frames) if self.batches else 1
        batches = _parts(frames, size)
        kind: dict[str, DTypeLike] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        kind |= {"tensor(double)": np.float64, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8}
        batches = [batch.astype(kind.get(source.type, batch.dtype), copy=False) for batch in batches]
        results = [self.session.run(list(self.outputs), {source.name: batch}) for batch in batches]
        parts = zip(self.names, *results, strict=True)
        whole = {name: _joined(arrays, size)[: len(frames)] for name, *arrays in parts}
        return {name: _streamed(values, self.maps[name], like[name]) for name, values in whole.items()}


def _parts(frames: np.ndarray, size: int) -> list[np.ndarray]:
    """``frames`` in parts of ``size``, the last one filled up with its last frame."""
    places = np.minimum(np.arange(-(-len(frames) // size) * size), len(frames) - 1)
    return np.split(frames[places], len(places) // size)


def _joined(arrays: list[np.ndarray], size: int) -> np.ndarray:
    """The results of every ``size`` frames one after another; of one frame, a tensor may have no batch."""
    return np.concatenate([array if array.shape[:1] == (size,) else array[None] for array in arrays])


def _files(model: Path, graph: Graph, folder: Path) -> Iterator[tuple[Path, str]]:
    """What ONNX Runtime may run, with what it is called; the second is only written if it is asked for."""
    yield model, model.name
    written = folder / "written.onnx"
    write_qdq(graph, written)
    yield written, f"the QDQ model that hwgen makes of {model.name}"


def _streamed(values: np.ndarray, map_: FeatureMap, like: np.ndarray) -> np.ndarray:
    """ONNX's tensor as the stream has it, channels last."""
    last = values.reshape(len(values), *map_.shape)
    if values.ndim < 3:
        return last
    first = np.moveaxis(values, 1, -1)
    if first.shape[-1] != map_.channels:
        return last
    first = first.reshape(last.shape)
    if values.shape[-1] != map_.channels:
        return first
    return min(first, last, key=lambda order: np.count_nonzero(order != like))
