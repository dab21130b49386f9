"""Every model in a folder: what hwgen makes of it, and whether it runs through the golden model.

    python -m benchmarks.models --models ../shared/models --data ../shared/data

Frames are real ones where benchmarks/networks.py knows of any, else random. The shape of three_layer_pytorch.onnx is
fixed to one frame, as its own batch is a whole data set.
"""

import time
import warnings
from collections import Counter
from pathlib import Path

import click
import numpy as np

from hwgen import flow
from hwgen.graph import golden
from hwgen.graph.errors import HwgenError

from .networks import data_of

SHAPES = {"three_layer_pytorch.onnx": {"0": (1, 16)}}


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--frames", default=2, show_default=True)
def main(models: Path, data: Path, frames: int) -> None:
    """Print a line for each model."""
    print("| file | layers | outputs | golden | hardware | seconds |\n|---|---|---|---|---|---|")
    ran, files = 0, sorted(models.glob("*.onnx"))
    for path in files:
        began = time.perf_counter()
        try:
            cells = tried(path, data, frames)
            ran += 1
        except HwgenError as error:
            cells = ("", "", f"refused: {error.problems[0]}", "")
        print(f"| {path.name} | {' | '.join(cells)} | {time.perf_counter() - began:.1f} |", flush=True)
    print(f"\n{ran} of {len(files)} import and run through golden")


def tried(path: Path, data: Path, frames: int) -> tuple[str, ...]:
    """Layers, outputs, what golden did, and what has no hardware."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = flow.quantised(path, input_shape=SHAPES.get(path.name)).network
    known = data_of(path.name)
    x = known[0].load(data, frames)[0] if known else noise(network, frames)
    tensors = golden.run(network, golden.network_input(network, x.reshape(len(x), *network.input_shape)))
    integers = sum(value.size for value in tensors.values())
    gaps = Counter(layer.op.gap for layer in network.layers if layer.op.gap)
    hardware = "all" if not gaps else "; ".join(f"{count} x {gap}" for gap, count in gaps.items())
    return str(len(network.layers)), str(len(network.outputs)), f"{integers:,} integers", hardware[:120]


def noise(network, frames: int) -> np.ndarray:
    """Random frames over the input's range."""
    kind = network.input.map.type
    random = np.random.default_rng(0).integers(kind.min, kind.max, (frames, *network.input_shape), endpoint=True)
    return random if network.integer_input else network.input.quantization.dequantize(random)


if __name__ == "__main__":
    main()
