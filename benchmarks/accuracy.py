"""Accuracy of float networks that hwgen quantises, in its golden model, beside ONNX Runtime's own quantiser.

    python benchmarks/accuracy.py
    python benchmarks/accuracy.py --network vww --network kws --ranges minmax --no-equalize

All quantise with the same frames. ONNX Runtime's quantiser makes QDQ with s8 activations and s8 weights per channel,
ranges by minmax, and ONNX Runtime runs that. A Softmax at the end is left out for all: the errors are of logits, and
its quantisation would cost ONNX Runtime accuracy. Needs ``pip install '.[test]'`` and a folder with models and data.
"""

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console
from rich.table import Table

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from hwgen.graph.quantize.calibrate import METHODS
from hwgen.graph.quantize.quantize import quantize
from hwgen.graph.quantize.recipe import DEFAULT, Recipe
from hwgen.simulate.exact_session import exact_session, open_session

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
CAFFE_MEAN = np.float32([104, 117, 123])
PHOTOS = 40  # of the photos are for calibration, the others for the measurement
PART = 50  # frames in golden at a time


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames [N, ...] to calibrate with and to measure on; ``labels`` where there are right answers."""

    calibration: np.ndarray
    test: np.ndarray
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """A float model and what to feed it; ``note`` says which frames."""

    model: str
    samples: Callable[[Path], Samples]
    note: str


def every(frames: Callable[[np.ndarray], np.ndarray], file: str, step: int) -> Callable[[Path], Samples]:
    """All of ``file``, each ``step``-th frame of it for calibration too."""

    def load(data: Path) -> Samples:
        arrays = np.load(data / file)
        test = frames(arrays["x"])
        return Samples(test[::step], test, arrays["y"])

    return load


def cifar(frames: Callable[[np.ndarray], np.ndarray], file: str = "cifar10.npz", key: str = "_test"):
    def load(data: Path) -> Samples:
        calibration, test = np.load(data / "cifar10.npz")["x_calibration"], np.load(data / file)
        return Samples(frames(calibration[:500]), frames(test["x" + key]), test["y" + key])

    return load


def photos(frames: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], Samples]:
    def load(data: Path) -> Samples:
        pixels = np.load(data / "imagenet100.npz")["x"]
        chosen = np.zeros(len(pixels), bool)
        chosen[np.linspace(0, len(pixels) - 1, PHOTOS).astype(int)] = True
        return Samples(frames(pixels[chosen]), frames(pixels[~chosen]))

    return load


def normalised(x: np.ndarray) -> np.ndarray:
    return _channels_first((x / np.float32(255) - MEAN) / STD)


def _channels_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)


CASES = {
    "resnet20": Case(
        "resnet20_cifar10.torchscript_op13.onnx", cifar(normalised), "CIFAR-10: 1,000 test images, 500 others"
    ),
    "resnet8": Case(
        "resnet8_cifar10_fp32.tf2onnx.onnx",
        cifar(lambda x: x.astype(np.float32), "mlperf_tiny_ic.npz", ""),
        "MLPerf Tiny IC: 200 images, 500 of CIFAR-10",
    ),
    "resnet8-1000": Case(
        "resnet8_cifar10_fp32.tf2onnx.onnx",
        cifar(lambda x: x.astype(np.float32)),
        "CIFAR-10: 1,000 test images, 500 others",
    ),
    "vww": Case(
        "vww96_mbv1_025_fp32.tf2onnx.onnx",
        every(lambda x: x / np.float32(255), "mlperf_tiny_vww.npz", 4),
        "MLPerf Tiny VWW: 400 images, every 4th",
    ),
    "kws": Case(
        "kws_dscnn_fp32.tf2onnx.onnx",
        every(lambda x: (x.astype(np.float32) - 83) * np.float32(0.58470), "mlperf_tiny_kws.npz", 10),
        "MLPerf Tiny KWS: 1,000 maps, every 10th",
    ),
    "mobilenet_v1": Case(
        "mobilenet_v1_0.25_224_imagenet.keras_nchw.tf2onnx.onnx",
        photos(lambda x: _channels_first(x[:, 16:240, 16:240] / np.float32(127.5) - 1)),
        f"ImageNet: {100 - PHOTOS} photos, {PHOTOS} others",
    ),
    "squeezenet": Case(
        "squeezenet_v1.0_deepcompression.onnx",
        photos(lambda x: _channels_first(x[:, 14:241, 14:241, ::-1].astype(np.float32) - CAFFE_MEAN)),
        f"ImageNet: {100 - PHOTOS} photos, {PHOTOS} others",
    ),
}


# Runs


def run_golden(model: Path, samples: Samples, recipe: Recipe) -> np.ndarray:
    """Results [N, classes] of hwgen's integers."""
    graph = quantize(simplify(read_model(model)), samples.calibration, recipe, warn=lambda line: None)
    network = lower(graph, OPERATORS, warn=lambda line: None)
    results = []
    for start in range(0, len(samples.test), PART):
        frames = golden.network_input(network, samples.test[start : start + PART])
        results.append(golden.network_output(network, golden.run(network, frames)[network.output.name]))
    return np.concatenate(results).reshape(len(samples.test), -1)


def run_onnx(model: Path, frames: np.ndarray) -> np.ndarray:
    session = exact_session(model.read_bytes())
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: frame[None]})[0].reshape(1, -1) for frame in frames])


class Frames(CalibrationDataReader):
    def __init__(self, name: str, frames: np.ndarray):
        self.feeds = iter([{name: frame[None]} for frame in frames])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantize_with_onnx(model: Path, calibration: np.ndarray, output: Path) -> None:
    """ONNX Runtime's static quantiser, after its own preparation of the model."""
    prepared = output.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared), skip_symbolic_shape=True)
    name = open_session(prepared.read_bytes()).get_inputs()[0].name
    quantize_static(
        str(prepared),
        str(output),
        Frames(name, calibration),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def without_softmax(model: Path, output: Path) -> None:
    proto = onnx.load(str(model))
    result = proto.graph.output[0]
    last = next(node for node in proto.graph.node if result.name in node.output)
    if last.op_type == "Softmax":
        result.name = last.input[0]
        proto.graph.node.remove(last)
    onnx.save(proto, str(output))


# Tables


def figures(found: np.ndarray, exact: np.ndarray, labels: np.ndarray | None) -> tuple[str, str, str]:
    """Top-1, agreement with the float network's answers, mean error of its logits."""
    right = "" if labels is None else f"{(found.argmax(axis=1) == labels).mean():.2%}"
    agreement = (found.argmax(axis=1) == exact.argmax(axis=1)).mean()
    return right, f"{agreement:.1%}", f"{np.abs(found - exact).mean():.4f}"


def measure(case: Case, shared: Path, recipes: Iterable[tuple[str, Recipe]]) -> Iterable[tuple[str, ...]]:
    """A row for the float network, ONNX Runtime's quantiser, and hwgen with each of ``recipes``."""
    samples, model = case.samples(shared / "data"), shared / "models" / case.model
    with tempfile.TemporaryDirectory() as name:
        bare, quantised = Path(name) / "bare.onnx", Path(name) / "quantised.onnx"
        without_softmax(model, bare)
        exact = run_onnx(bare, samples.test)
        yield "float", *figures(exact, exact, samples.labels), ""
        began = time.perf_counter()
        quantize_with_onnx(bare, samples.calibration, quantised)
        found = run_onnx(quantised, samples.test)
        yield "ONNX Runtime s8s8", *figures(found, exact, samples.labels), f"{time.perf_counter() - began:.0f} s"
        for title, recipe in recipes:
            began = time.perf_counter()
            found = run_golden(bare, samples, recipe)
            yield title, *figures(found, exact, samples.labels), f"{time.perf_counter() - began:.0f} s"


@click.command()
@click.option("--shared", type=click.Path(path_type=Path), default=Path("../shared"), show_default=True)
@click.option(
    "--network", "networks", multiple=True, type=click.Choice(list(CASES)), help="Repeatable.  [default: all]"
)
@click.option("--ranges", multiple=True, type=click.Choice([*METHODS, "all"]), help="Repeatable.  [default: mse]")
@click.option("--equalize/--no-equalize", default=DEFAULT.equalize, show_default=True)
@click.option("--correct-bias/--no-correct-bias", default=DEFAULT.correct_bias, show_default=True)
@click.option("--wide", multiple=True, metavar="TENSOR|auto", help="Activations of 16 bits. Repeatable.")
@click.option("--steps", is_flag=True, help="Also without bias correction, without equalisation, without both.")
def main(shared: Path, networks, ranges, equalize: bool, correct_bias: bool, wide, steps: bool) -> None:
    """Measure accuracy and print a table."""
    names = METHODS if "all" in ranges else ranges or (DEFAULT.ranges,)
    switches = [(e, b) for e in (False, True) for b in (False, True)] if steps else [(equalize, correct_bias)]
    recipes = [Recipe(name, e, b, tuple(wide)) for name in names for e, b in switches]
    table = Table("network", "quantiser", "top-1", "as float", "mean logit error", "time")
    for name in networks or CASES:
        table.add_section()
        for row in measure(CASES[name], shared, [(described(recipe), recipe) for recipe in recipes]):
            table.add_row(name, *row)
    Console(width=110).print(table)


def described(recipe: Recipe) -> str:
    words = [f"hwgen {recipe.ranges}", "equalized" * recipe.equalize, "bias corrected" * recipe.correct_bias]
    return ", ".join([*filter(None, words), *(f"16 bits: {name}" for name in recipe.wide)])


if __name__ == "__main__":
    main()
