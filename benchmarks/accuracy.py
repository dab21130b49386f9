"""Accuracy of quantised networks: float in ONNX Runtime, hwgen's golden model, ONNX Runtime's own quantiser.

    python benchmarks/accuracy.py --shared ../shared
    python benchmarks/accuracy.py --network vww --ranges mse --no-equalize

All quantise with the same frames. hwgen's result runs in its golden model; ONNX Runtime's (QDQ, s8 activations, s8
weights per channel, minmax) in ONNX Runtime. Needs ``pip install '.[test]'`` and a folder with models and data.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console
from rich.table import Table

from hwgen.blocks import OPERATORS
from hwgen.graph import golden
from hwgen.graph.calibrate import METHODS
from hwgen.graph.lower import lower
from hwgen.graph.passes import simplify
from hwgen.graph.quantize import quantize
from hwgen.graph.reader import read_model

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
CAFFE_MEAN = np.float32([104, 117, 123])
PHOTOS = 40  # of the photos are for calibration, the others for the measurement


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


def main_samples(frames: Callable[[np.ndarray], np.ndarray], file: str, every: int) -> Callable[[Path], Samples]:
    """All of ``file``, each ``every``-th frame of it for calibration too."""

    def load(data: Path) -> Samples:
        arrays = np.load(data / file)
        test = frames(arrays["x"])
        return Samples(test[::every], test, arrays["y"])

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
        main_samples(lambda x: x / np.float32(255), "mlperf_tiny_vww.npz", 4),
        "MLPerf Tiny VWW: 400 images, every 4th",
    ),
    "kws": Case(
        "kws_dscnn_fp32.tf2onnx.onnx",
        main_samples(lambda x: (x.astype(np.float32) - 83) * np.float32(0.58470), "mlperf_tiny_kws.npz", 10),
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
