"""Whole networks as compiled hardware: frames through the Verilog, every integer of every layer compared with golden.

    python -m benchmarks.whole_networks --models ../shared/models --data ../shared/data
    python -m benchmarks.whole_networks --only resnet34

Trained networks get all the images there are, and their accuracy is printed; LeNet-5's results on MNIST are compared
with ONNX Runtime besides. MobileNetV1 and the larger ResNets have random weights (benchmarks/random_networks.py) and
random frames; their hardware runs at full speed and under pauses. Nothing compiled before is used. Each row is a
process of its own: its seconds and memory are those from the model's file on, compilers included.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx

from hwgen import flow
from hwgen.dataflow.pipeline import Pipeline
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import USUAL, Search, search
from hwgen.device.targets import device
from hwgen.graph import golden
from hwgen.hdl.export import export
from hwgen.simulate.runtime import against_onnxruntime
from hwgen.simulate.simulation import simulate
from hwgen.simulate.workers import Workers

from .networks import Data, data_of
from .random_networks import NETWORKS

EXAMPLES = Path(__file__).parents[1] / "examples"
MNIST = Data("mnist", "x_test", "y_test", lambda x: x[:, None].astype(np.float32) / np.float32(255))
SEED = 3  # of pauses


@dataclass(frozen=True)
class Trained:
    """A trained network on all images of its test set."""

    file: str
    multipliers: int
    onnxruntime: bool = False

    def measured(self, name: str, models: Path, data: Path) -> str:
        file = EXAMPLES / self.file if (EXAMPLES / self.file).exists() else models / self.file
        front = _quietly(file)
        frames, labels = (MNIST if name == "lenet5" else data_of(file.name)[-1]).load(data)
        plan = search(front.network, multipliers=self.multipliers)
        # Frames in parts keep to so much memory, whatever their number.
        run = simulate(front.network, plan, frames, "compiled", workers=Workers(os.cpu_count() or 1))
        right = int((run.classes == labels).sum())
        text = f"{right / len(frames):.2%} of {len(frames):,} images right; {_compared(run)}"
        if self.onnxruntime:
            result = against_onnxruntime(front.model, front.graph, front.network, frames)
            text += f"; ONNX Runtime: {len(result.differences)} of {result.integers:,} differ"
        return f"{text}; {_cycles(run, plan)}"


@dataclass(frozen=True)
class Random:
    """A network with random weights."""

    multipliers: int
    frames: int = 2

    def measured(self, name: str, models: Path, data: Path) -> str:
        front = random_network(name)
        network, frames = front.network, front.samples[: self.frames]
        plan = search(network, multipliers=self.multipliers)
        runs = [simulate(network, plan, frames, "compiled", stall=stall) for stall in (None, SEED)]
        kinds = zip(("full speed", "with pauses"), runs, strict=True)
        return "; ".join([*(f"{kind}: {_compared(run)}" for kind, run in kinds), _cycles(runs[0], plan)])


@dataclass(frozen=True)
class Written:
    """How long elaboration and Verilog take, once the plan is there."""

    multipliers: int

    def measured(self, name: str, models: Path, data: Path) -> str:
        plan = search(random_network(name.split()[0]).network, multipliers=self.multipliers)
        began = time.perf_counter()
        made = export(Pipeline(plan), "core")
        seconds, weights = time.perf_counter() - began, sum(map(len, made.memories.values()))
        return f"{seconds:.1f} s alone; {len(made.text) / 1e6:.1f} MB, and {weights / 1e6:.0f} MB of weights"


@dataclass(frozen=True)
class Models:
    """How long the golden model and the schedule take for a frame, once the plan is there."""

    multipliers: int

    def measured(self, name: str, models: Path, data: Path) -> str:
        front = random_network(name.split()[0])
        network, frame = front.network, golden.network_input(front.network, front.samples[:1])
        golden.run(network, frame)
        began = time.perf_counter()
        golden.run(network, frame)
        frame_seconds = time.perf_counter() - began
        found = Search(network, device(USUAL), self.multipliers, bound=False)
        picks = found.picks()
        began = time.perf_counter()
        plan = found.plan(picks)
        plan_seconds = time.perf_counter() - began
        began = time.perf_counter()
        schedule(plan, 1)
        seconds = time.perf_counter() - began
        return (
            f"golden {frame_seconds:.2f} s a frame; schedule {seconds:.2f} s a frame; queue depths {plan_seconds:.1f} s"
        )


ROWS = {
    "resnet34 written": Written(5040),
    "lenet5": Trained("lenet5_int8.onnx", 148, onnxruntime=True),
    "resnet8": Trained("resnet8_cifar10_int8.tf2onnx.onnx", 440),
    "ds_cnn": Trained("kws_dscnn_int8.tf2onnx.onnx", 440),
    "mobilenet_v1_vww": Trained("vww96_mbv1_025_int8.tf2onnx.onnx", 440),
    "resnet20": Trained("resnet20_cifar10.ort_QDQ_u8s8.onnx", 2496),
    "mobilenet_v1": Random(2496),
    "resnet34": Random(5040),
    "resnet50 models": Models(5040),
}


@click.command()
@click.option("--models", type=click.Path(path_type=Path), default=Path("../shared/models"), show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--only", type=click.Choice(list(ROWS)), help="Only this row.")
@click.option("--row", hidden=True, help="Measure this row in this process.")
def main(models: Path, data: Path, only: str | None, row: str | None) -> None:
    """Print a line for each row; the exit status is 1 if one failed."""
    if row:
        print(_row(row, models, data), flush=True)
        return
    print("| network | multipliers | figures | seconds | GB |\n|---|---|---|---|---|", flush=True)
    paths = ["--models", str(models), "--data", str(data)]
    failed = False
    for name in [only] if only else ROWS:
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "benchmarks.whole_networks", *paths, "--row", name]
            done = subprocess.run(command, check=False, env={**os.environ, "XDG_CACHE_HOME": cache})
        failed |= done.returncode != 0
    sys.exit(failed)


def _row(name: str, models: Path, data: Path) -> str:
    began = time.perf_counter()
    figures = ROWS[name].measured(name, models, data)
    seconds = time.perf_counter() - began
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"| {name} | {ROWS[name].multipliers:,} | {figures} | {seconds:.0f} | {kilobytes / 1e6:.1f} |"


def random_network(name: str) -> flow.Quantised:
    """With random weights, and random frames to try it on."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.onnx"
        onnx.save(NETWORKS[name](), file)
        return _quietly(file)


def _quietly(file: Path) -> flow.Quantised:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return flow.quantised(file)


def _compared(run) -> str:
    wrong = sum(mismatch.count for mismatch in run.mismatches)
    return f"{wrong} of {run.compared:,} integers differ"


def _cycles(run, plan) -> str:
    expected = schedule(plan)
    return (
        f"{run.timing.interval:,} cycles a frame ({expected.interval:,} by the schedule), latency "
        f"{run.timing.latency:,} ({expected.latency:,})"
    )


if __name__ == "__main__":
    main()
