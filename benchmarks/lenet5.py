"""LeNet-5 measured: MNIST through the golden model, cycles, the test bench, Yosys against the estimate.

    python benchmarks/lenet5.py --mnist mnist.npz

Prints a table in Markdown. ``mnist.npz`` holds ``x_test`` and ``y_test``; without it the first row is left out. Needs
``pip install '.[test]'``; Icarus Verilog is optional.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

import hwgen
from hwgen.dataflow.fit import fit_needs
from hwgen.device.synth import count, synthesise
from hwgen.graph import golden
from hwgen.hdl.rtlil import to_rtlil
from hwgen.simulate.exact_session import exact_session

MODEL = Path(__file__).parents[1] / "examples" / "lenet5_int8.onnx"
Row = tuple[str, str]


@click.command()
@click.option("--mnist", type=click.Path(path_type=Path), default=Path("../shared/data/mnist.npz"), show_default=True)
@click.option("--multipliers", default=148, show_default=True)
def main(mnist: Path, multipliers: int) -> None:
    """Measure LeNet-5 and print the figures."""
    began = time.perf_counter()
    design = hwgen.compile(MODEL, multipliers=multipliers)
    print("| what | measured |\n|---|---|")
    show(("read, prove, search and schedule", f"{time.perf_counter() - began:.1f} s"))
    for row in (*accuracy(design, mnist), *cycles(design), *bench(design), *synthesis(design)):
        show(row)


def show(row: Row) -> None:
    print(f"| {row[0]} | {row[1]} |", flush=True)


def accuracy(design: hwgen.Design, mnist: Path) -> Iterator[Row]:
    """Golden against ONNX Runtime on every test image."""
    if not mnist.is_file():
        return
    with np.load(mnist) as arrays:
        x, y = arrays["x_test"].astype(np.float32)[:, None] / 255, arrays["y_test"]
    began = time.perf_counter()
    outputs = design.simulate(x).outputs
    seconds = time.perf_counter() - began
    session = exact_session(MODEL.read_bytes())
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    yield (
        f"{len(x):,} MNIST images, golden against ONNX Runtime",
        f"{int((outputs != expected).sum())} of {outputs.size:,} outputs differ; {seconds:.1f} s; "
        f"top-1 {(outputs.argmax(axis=1) == y).mean():.2%}",
    )


def cycles(design: hwgen.Design) -> Iterator[Row]:
    """The schedule against RTL in Amaranth's simulator, on noise."""
    began = time.perf_counter()
    result = design.simulate(np.concatenate([design.samples] * 2)[:5], engine="amaranth")
    seconds = (time.perf_counter() - began) / 5
    integers = sum(values[0].size for values in golden.run(design.network, _first(design)).values())
    yield (
        f"RTL, 5 frames, all {integers:,} integers of every frame",
        f"{len(result.mismatches)} layers differ; {seconds:.1f} s a frame",
    )
    yield "cycles per frame, predicted / simulated", f"{design.schedule.interval:,} / {result.timing.interval:,}"
    yield "latency in cycles, predicted / simulated", f"{design.schedule.latency:,} / {result.timing.latency:,}"
    work = design.report.data["total"]["multiplications"]
    share = work / (design.plan.multipliers * design.schedule.interval)
    yield f"multipliers (budget included), {work:,} products a frame", f"{design.plan.multipliers}, {share:.1%} busy"


def _first(design: hwgen.Design) -> np.ndarray:
    return golden.network_input(design.network, design.samples[:1])


def bench(design: hwgen.Design) -> Iterator[Row]:
    """The generated test bench under Icarus Verilog."""
    if not shutil.which("iverilog"):
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "build"
        design.write(folder)
        files = [str(path) for path in sorted(folder.glob("*.v"))]
        subprocess.run(["iverilog", "-g2005", "-Wall", "-o", "tb.vvp", *files], cwd=folder, check=True)
        printed = subprocess.run(["vvp", "tb.vvp"], cwd=folder, check=True, capture_output=True, text=True).stdout
    yield "generated test bench, Icarus Verilog 2005", printed.strip().splitlines()[-1]


def synthesis(design: hwgen.Design) -> Iterator[Row]:
    """Yosys against the estimate, resource by resource."""
    began = time.perf_counter()
    counted = count(
        synthesise(to_rtlil(design.component, design.name, cells=True), design.name, design.device), design.device
    )
    for estimate, real in zip(design.fit.rows, fit_needs(counted, design.device).rows, strict=True):
        off = (estimate.used - real.used) / max(real.used, 1)
        yield (
            f"{design.device.name} {real.resource}, estimate / Yosys",
            f"{estimate.used:,} / {real.used:,} ({off:+.0%})",
        )
    yield "Yosys", f"{time.perf_counter() - began:.0f} s"


if __name__ == "__main__":
    main()
