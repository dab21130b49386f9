"""Golden against ONNX Runtime: every integer tensor of every quantised file, top-1 to the image, and speed.

    python -m benchmarks.exactness --models ../shared/models --data ../shared/data

Prints tables in Markdown. "arising": each layer computed from ONNX Runtime's own integers, so that one difference does
not count again in the layers behind it; "in all": golden from the frame on. Both with default session options
(``default``) and in a session that computes on integers, exactly, whatever the processor (``exact``).
Needs ``pip install '.[test]'``.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import click
import numpy as np

from benchmarks.networks import CIFAR10, Data, data_of
from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.errors import HwgenError
from hwgen.graph.ir import Graph
from hwgen.graph.lower.lower import lower
from hwgen.graph.network import Network
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.simulate.exact_session import exact_session, open_session
from hwgen.simulate.runtime import Runtime
from tests.blocks.random_models import Model, frames, lowered
from tests.blocks.test_runtime import IN_FLOAT
from tests.graph.reference import runtime_integers

SESSIONS = {"default": open_session, "exact": exact_session}
BATCH = 5
SPEED = "resnet20_cifar10.ort_QDQ_u8s8.onnx"


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--frames", "count", default=100, show_default=True, help="Frames for the tensor by tensor comparison.")
@click.option("--only", default="", help="Only files with this in their names.")
@click.option("--part", type=click.Choice(["tensors", "top1", "rates", "speed"]), multiple=True, help="[default: all]")
def main(models: Path, data: Path, count: int, only: str, part: tuple[str, ...]) -> None:
    """Measure and print."""
    files = [path for path in sorted(models.glob("*.onnx")) if only in path.name and data_of(path.name)]
    parts = {"tensors": tensors, "top1": top1, "rates": rates, "speed": speed}
    for name in part or parts:
        parts[name](files, data, count)
        print()


def show(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def heading(*cells: str) -> None:
    show(*cells)
    print("|---" * len(cells) + "|")


def networks(files: list[Path]) -> Iterator[tuple[Path, Graph, Network]]:
    """Those of the files that are networks of integers already."""
    for path in files:
        try:
            graph = simplify(read_model(path))
            yield path, graph, lower(graph, OPERATORS, warn=lambda line: None)
        except HwgenError:
            continue


# Tensor by tensor


def tensors(files: list[Path], data: Path, count: int) -> None:
    heading("file", "frames", "tensors", "integers", "session", "arising", "in all", "where it arises")
    for path, graph, network in networks(files):
        given, _ = data_of(path.name)[0].load(data, count)
        for name, opened in SESSIONS.items():
            with tempfile.TemporaryDirectory() as folder:
                runtime = Runtime.of(path, graph, network, Path(folder), opened)
                wrong, arising, total = compared(network, runtime, given)
            where = ", ".join(f"{op} {bad:,} of {of:,}" for op, (bad, of) in arising.items() if bad) or "-"
            arises = sum(bad for bad, _ in arising.values())
            show(path.name, len(given), len(runtime.names), f"{total:,}", name, f"{arises:,}", f"{wrong:,}", where)
            if not wrong:
                break


def compared(network: Network, runtime: Runtime, given: np.ndarray) -> tuple[int, dict[str, list[int]], int]:
    """Integers that differ in all; by operator those that arise there, of how many; integers compared."""
    wrong, total, arising = 0, 0, defaultdict(lambda: [0, 0])
    for start in range(0, len(given), BATCH):
        batch = given[start : start + BATCH]
        entering = golden.network_input(network, batch)
        ours = golden.run(network, entering)
        theirs = runtime.integers(batch, ours)
        wrong += sum(int(np.count_nonzero(ours[name] != value)) for name, value in theirs.items())
        total += sum(value.size for value in theirs.values())
        values = dict(network.constants) | {network.input.name: theirs.get(network.input.name, entering)}
        for layer in network.layers:
            made = layer.op.golden(*(values[name] for name in layer.inputs))
            values[layer.output] = right = theirs.get(layer.output, made).astype(made.dtype, copy=False)
            if layer.output in theirs:
                counts = arising[type(layer.op).__name__]
                counts[0] += int(np.count_nonzero(made != right))
                counts[1] += made.size
    return wrong, dict(arising), total


# Answers


def top1(files: list[Path], data: Path, count: int) -> None:
    heading("file", "data", "images", "session", "ONNX Runtime", "golden", "images with another answer")
    differ = 0
    for path, _, network in networks(files):
        for source, (name, opened) in product(data_of(path.name), SESSIONS.items()):
            session = opened(path.read_bytes())
            if session is None or (name != "default" and not differ):
                continue
            theirs, ours, labels = answers(network, session, source, data)
            differ = int((theirs != ours).sum())
            shares = (f"{int((side == labels).sum()):,} ({(side == labels).mean():.2%})" for side in (theirs, ours))
            show(path.name, source.file, f"{len(labels):,}", name, *shares, differ)


def answers(network: Network, session, source: Data, data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    given, labels = source.load(data)
    theirs, ours = [], []
    for start in range(0, len(given), 100):
        batch = given[start : start + 100]
        theirs.append(run(session, batch).reshape(len(batch), -1).argmax(axis=1))
        result = golden.output(network, golden.network_input(network, batch))
        ours.append(golden.network_output(network, result).reshape(len(batch), -1).argmax(axis=1))
    return np.concatenate(theirs), np.concatenate(ours), labels


def run(session, batch: np.ndarray) -> np.ndarray:
    source = session.get_inputs()[0]
    parts = np.split(batch, len(batch)) if source.shape[0] == 1 else [batch]
    return np.concatenate([session.run(None, {source.name: part})[0] for part in parts])


# Where ONNX Runtime computes in floating point


def rates(files: list[Path], data: Path, count: int) -> None:
    heading("operator in floating point, 50 random models", "integers", "differ", "by at most")
    for name, (make, _) in IN_FLOAT.items():
        with tempfile.TemporaryDirectory() as folder:
            differences = np.concatenate([difference(make, seed, Path(folder)) for seed in range(50)])
        wrong = np.count_nonzero(differences)
        show(name, f"{differences.size:,}", f"{wrong:,} ({wrong / differences.size:.3%})", differences.max())


def difference(make, seed: int, folder: Path) -> np.ndarray:
    """How far golden is from ONNX Runtime, for every integer of the result of a random model."""
    rng = np.random.default_rng(seed)
    model = Model(rng, np.uint8, (4, 6, 8))
    make(model, next(iter(model.shapes)))
    network, path = lowered(model, folder)
    given = frames(rng, model.shape, 8)
    ours = golden.output(network, golden.network_input(network, given))
    theirs = np.moveaxis(runtime_integers(path, given)[network.output.name], 1, -1)
    return np.abs(ours.astype(int) - theirs).reshape(-1)


# Speed


def speed(files: list[Path], data: Path, count: int) -> None:
    path = next((path for path in files if path.name == SPEED), None)
    if path is None:
        return
    (_, _, network), session = next(networks([path])), exact_session(path.read_bytes(), threads=2)
    given, _ = CIFAR10.load(data)
    integers = golden.network_input(network, given)
    theirs = best(lambda: run(session, given))
    ours = best(lambda: golden.output(network, integers))
    heading("ResNet-20, 1,000 images, best of 5", "seconds")
    show("ONNX Runtime, two threads", f"{theirs:.3f}")
    show("golden", f"{ours:.3f} ({ours / theirs:.1f} times)")


def best(action) -> float:
    def once() -> float:
        began = time.perf_counter()
        action()
        return time.perf_counter() - began

    return min(once() for _ in range(5))


if __name__ == "__main__":
    main()
