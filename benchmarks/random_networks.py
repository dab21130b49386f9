"""Quantised networks of well-known shapes with random weights, to measure sizes and speeds by.

    python benchmarks/random_networks.py resnet50 resnet50.onnx

Written as the common quantisers do: QDQ, u8 activations, s8 weights with a scale for each channel, int32 biases. Scales
are chosen so that activations use their range. MobileNet: Howard et al., arXiv 1704.04861; ResNet: He et al., arXiv
1512.03385; VGG: Simonyan and Zisserman, arXiv 1409.1556; DS-CNN: Zhang et al., arXiv 1711.07128; the small ones as in
MLPerf Tiny.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 13
#: Scale of activations whose standard deviation is 1: u8 then reaches to 6.
_SCALE = 6 / 255


@dataclass(frozen=True)
class _Tensor:
    """A dequantised activation [channels, height, width]."""

    name: str
    shape: tuple[int, ...]


class _Builder:
    """Adds layers to a graph."""

    def __init__(self, name: str, seed: int = 0):
        self.name, self.random = name, np.random.default_rng(seed)
        self.nodes, self.constants, self.count = [], [], 0

    def fresh(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes) -> str:
        name = self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def pair(self, name: str, scale: float = _SCALE, zero: int = 0) -> str:
        """QuantizeLinear and DequantizeLinear behind ``name``."""
        key = self.fresh("pair")
        operands = [
            self.constant(f"{key}_scale", np.float32(scale).reshape(())),
            self.constant(f"{key}_zero", np.array(zero, np.uint8)),
        ]
        return self.node("DequantizeLinear", [self.node("QuantizeLinear", [name, *operands]), *operands])

    def input(self, shape: tuple[int, ...]) -> _Tensor:
        return _Tensor(self.pair("input", 6 / 255, 127), shape)

    def weights(self, key: str, shape: tuple[int, ...]) -> tuple[str, np.ndarray]:
        """Random integers, dequantised; and their scales."""
        integers = np.clip(np.rint(self.random.normal(0, 40, shape)), -127, 127).astype(np.int8)
        fan_in = int(np.prod(shape[1:]))
        scale = (self.random.uniform(0.7, 1.4, shape[0]) / (40 * np.sqrt(fan_in))).astype(np.float32)
        operands = [self.constant(f"{key}_w", integers), self.constant(f"{key}_ws", scale)]
        operands.append(self.constant(f"{key}_wz", np.zeros(shape[0], np.int8)))
        return self.node("DequantizeLinear", operands, axis=0), scale

    def bias(self, key: str, channels: int, scale: np.ndarray) -> str:
        unit = (np.float32(_SCALE) * scale).astype(np.float32)
        integers = np.rint(self.random.normal(0, 0.3, channels) / unit).astype(np.int32)
        operands = [self.constant(f"{key}_b", integers), self.constant(f"{key}_bs", unit)]
        return self.node("DequantizeLinear", [*operands, self.constant(f"{key}_bz", np.zeros(channels, np.int32))],
                         axis=0)  # fmt: skip

    def conv(
        self, x: _Tensor, channels: int, kernel: int | tuple[int, int], stride: int = 1, group: int = 1, relu=True
    ) -> _Tensor:
        """Convolution of the same size (over ``stride``), ReLU, quantisation."""
        key, size = self.fresh("layer"), (kernel, kernel) if isinstance(kernel, int) else kernel
        weight, scale = self.weights(key, (channels, x.shape[0] // group, *size))
        rows = [-(-n // stride) for n in x.shape[1:]]
        both = [max((n - 1) * stride + k - old, 0) for n, k, old in zip(rows, size, x.shape[1:], strict=True)]
        pads = [*(n // 2 for n in both), *(n - n // 2 for n in both)]
        operands = [x.name, weight, self.bias(key, channels, scale)]
        made = self.node("Conv", operands, group=group, kernel_shape=size, strides=[stride, stride], pads=pads)
        made = self.node("Relu", [made]) if relu else made
        return _Tensor(self.pair(made, _SCALE, 0 if relu else 127), (channels, *rows))

    def add(self, a: _Tensor, b: _Tensor) -> _Tensor:
        return _Tensor(self.pair(self.node("Relu", [self.node("Add", [a.name, b.name])])), a.shape)

    def halved(self, x: _Tensor) -> _Tensor:
        """The maximum of two by two."""
        made = self.node("MaxPool", [x.name], kernel_shape=[2, 2], strides=[2, 2])
        return _Tensor(self.pair(made), (x.shape[0], x.shape[1] // 2, x.shape[2] // 2))

    def max_pool(self, x: _Tensor) -> _Tensor:
        made = self.node("MaxPool", [x.name], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        return _Tensor(self.pair(made), (x.shape[0], (x.shape[1] + 1) // 2, (x.shape[2] + 1) // 2))

    def average(self, x: _Tensor) -> _Tensor:
        return _Tensor(self.pair(self.node("GlobalAveragePool", [x.name])), (x.shape[0], 1, 1))

    def dense(self, x: _Tensor, classes: int) -> _Tensor:
        key = self.fresh("layer")
        flat = self.node("Flatten", [x.name])
        weight, scale = self.weights(key, (classes, int(np.prod(x.shape))))
        made = self.node("Gemm", [flat, weight, self.bias(key, classes, scale)], transB=1)
        return _Tensor(self.pair(made, 2 * _SCALE, 127), (classes,))

    def model(self, x: _Tensor, shape: tuple[int, ...]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, *shape])],
            [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, [1, *x.shape])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def resnet(depth: int) -> onnx.ModelProto:
    """ResNet for ImageNet: 18 and 34 of pairs of 3x3, 50, 101 and 152 of bottlenecks (stride in the 3x3)."""
    counts = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    net, shape = _Builder(f"resnet{depth}"), (3, 224, 224)
    x = net.max_pool(net.conv(net.input(shape), 64, 7, 2))
    for stage, count in enumerate(counts):
        for block in range(count):
            width, stride = 64 << stage, 2 if stage and not block else 1
            if depth < 50:
                y = net.conv(net.conv(x, width, 3, stride), width, 3, relu=False)
            else:
                y = net.conv(net.conv(net.conv(x, width, 1), width, 3, stride), 4 * width, 1, relu=False)
            shortcut = x if x.shape == y.shape else net.conv(x, y.shape[0], 1, stride, relu=False)
            x = net.add(y, shortcut)
    return net.model(net.dense(net.average(x), 1000), shape)


def vgg16_features() -> onnx.ModelProto:
    """VGG-16 for ImageNet, its thirteen convolutions."""
    net, shape = _Builder("vgg16_features"), (3, 224, 224)
    x = net.input(shape)
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = net.conv(x, width, 3)
        x = net.halved(x)
    return net.model(x, shape)


def resnet_cifar(depth: int) -> onnx.ModelProto:
    """ResNet-20 and its like (6n + 2 layers) for CIFAR-10, with 1x1 convolutions where the shape changes."""
    net, shape = _Builder(f"resnet{depth}"), (3, 32, 32)
    x = net.conv(net.input(shape), 16, 3)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            y = net.conv(net.conv(x, 16 << stage, 3, stride), 16 << stage, 3, relu=False)
            shortcut = x if x.shape == y.shape else net.conv(x, y.shape[0], 1, stride, relu=False)
            x = net.add(y, shortcut)
    return net.model(net.dense(net.average(x), 10), shape)


_MOBILENET_V1 = [
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)
]  # fmt: skip


def mobilenet_v1(size: int = 224, alpha: float = 1.0, classes: int = 1000) -> onnx.ModelProto:
    """MobileNetV1 with ``alpha`` of its channels."""
    net, shape = _Builder(f"mobilenet_v1_{alpha}_{size}"), (3, size, size)
    x = net.conv(net.input(shape), int(32 * alpha), 3, 2)
    for channels, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        x = net.conv(x, x.shape[0], 3, stride, group=x.shape[0])
        x = net.conv(x, int(channels * alpha), 1)
    return net.model(net.dense(net.average(x), classes), shape)


def ds_cnn() -> onnx.ModelProto:
    """DS-CNN for keyword spotting, 49 x 10 features."""
    net, shape = _Builder("ds_cnn"), (1, 49, 10)
    x = net.conv(net.input(shape), 64, (10, 4), 2)
    for _ in range(4):
        x = net.conv(net.conv(x, 64, 3, group=64), 64, 1)
    return net.model(net.dense(net.average(x), 12), shape)


NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet8": lambda: resnet_cifar(8),
    "resnet20": lambda: resnet_cifar(20),
    **{f"resnet{depth}": lambda depth=depth: resnet(depth) for depth in (18, 34, 50, 101, 152)},
    "vgg16_features": vgg16_features,
    "mobilenet_v1": mobilenet_v1,
    "mobilenet_v1_vww": lambda: mobilenet_v1(96, 0.25, 2),
    "ds_cnn": ds_cnn,
}


@click.command()
@click.argument("network", type=click.Choice(sorted(NETWORKS)))
@click.argument("file", type=click.Path(path_type=Path))
def main(network: str, file: Path) -> None:
    """Write NETWORK with random weights to FILE."""
    model = NETWORKS[network]()
    onnx.checker.check_model(model)
    file.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
