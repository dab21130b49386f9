"""The real networks that benchmarks run: which data each takes, prepared as it was for its training."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Files of trained weights, in a folder of models unless they are with the examples.
TRAINED: dict[str, str | Path] = {
    "lenet5": EXAMPLES / "lenet5_int8.onnx",
    "mnist_cntk": "mnist_cntk.ort_QDQ_u8s8.onnx",
    "ds_cnn": "kws_dscnn_int8.tf2onnx.onnx",
    "resnet8": "resnet8_cifar10_int8.tf2onnx.onnx",
    "resnet20": "resnet20_cifar10.ort_QDQ_u8s8.onnx",
    "mobilenet_v1_vww": "vww96_mbv1_025_int8.tf2onnx.onnx",
    "mobilenet_v1_025": "mobilenet_v1_0.25_224_nchw.ort_QDQ_s8s8_perchannel.onnx",
    "mobilenet_v2": "mobilenet_v2_1.0_224.ort_QDQ_s8s8_perchannel.onnx",
    "squeezenet": "squeezenet_v1.0.ort_QDQ_u8s8.onnx",
    "yunet": "yunet_n_320_320.onnx",
}

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


@dataclass(frozen=True)
class Data:
    """Frames and their classes: ``file``.npz, which arrays of it, and how they become what the network takes."""

    file: str
    x: str
    y: str | None
    prepare: Callable[[np.ndarray], np.ndarray]

    def load(self, folder: Path, count: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        with np.load(folder / f"{self.file}.npz") as arrays:
            labels = None if self.y is None else arrays[self.y][:count]
            return self.prepare(arrays[self.x][:count]), labels


def channels_first(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32)


def normalised(x: np.ndarray) -> np.ndarray:
    return channels_first((x.astype(np.float32) / 255 - MEAN) / STD)


def centre(x: np.ndarray, size: int) -> np.ndarray:
    start = (x.shape[1] - size) // 2
    return x[:, start : start + size, start : start + size]


def signed(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.int16) - 128).astype(np.int8)


def without_mean(x: np.ndarray) -> np.ndarray:
    """BGR minus what Caffe subtracts."""
    return channels_first(centre(x, 227)[..., ::-1].astype(np.float32) - np.float32([104, 117, 123]))


CIFAR10 = Data("cifar10", "x_test", "y_test", normalised)
IMAGENET = Data("imagenet100", "x", "y", lambda x: normalised(centre(x, 224)))

#: By the beginning of the file's name.
NETWORKS: dict[str, tuple[Data, ...]] = {
    "mnist_cntk": (Data("mnist", "x_test", "y_test", lambda x: x[:, None].astype(np.float32)),),
    "resnet20": (CIFAR10,),
    "resnet8_cifar10_int8": (
        Data("mlperf_tiny_ic", "x", "y", signed),
        Data("cifar10", "x_test", "y_test", signed),
    ),
    "kws_dscnn_int8": (Data("mlperf_tiny_kws", "x", "y", lambda x: x),),
    "vww96_mbv1_025_int8": (Data("mlperf_tiny_vww", "x", "y", signed),),
    "mobilenet_v1": (Data("imagenet100", "x", "y", lambda x: channels_first(centre(x, 224) / np.float32(127.5) - 1)),),
    "mobilenet_v2": (IMAGENET,),
    "shufflenet": (IMAGENET,),
    "squeezenet": (Data("imagenet100", "x", "y", without_mean),),
}


def data_of(name: str) -> tuple[Data, ...]:
    """What the network in the file ``name`` is tried on; the full sets of labelled frames, the main one first."""
    return next((data for start, data in NETWORKS.items() if name.startswith(start)), ())


def trained_file(name: str, models: Path) -> Path | None:
    """The file of network ``name`` with trained weights; None where there is none in the folder ``models``."""
    file = models / TRAINED[name] if name in TRAINED else None
    return file if file is not None and file.is_file() else None
