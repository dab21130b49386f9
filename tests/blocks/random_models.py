"""Random quantised graphs over all operators, in QDQ and QOperator form, in one and two dimensions."""

import numpy as np
from onnx import TensorProto, helper

from hwgen.blocks import OPERATORS
from hwgen.graph.lower.lower import lower
from hwgen.graph.onnx.reader import read_model
from hwgen.graph.passes import simplify
from tests.graph.models import build, node, save

ACTIVATIONS = {
    "Relu": {},
    "LeakyRelu": {"alpha": 0.1},
    "Sigmoid": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "HardSwish": {},
    "Tanh": {},
    "Elu": {"alpha": 0.7},
}


class Model:
    """A quantised model under construction; ``shapes`` knows every real tensor so far, [C, H, W] or [C, W].

    With ``fused`` convolutions, sums and products are QOperator nodes. ``narrow`` limits the input's integers further.
    """

    def __init__(self, rng, dtype, shape, fused=False, narrow=None):
        self.rng, self.dtype, self.fused = rng, dtype, fused
        self.shape, self.source = shape, ("x", ("N", *shape))
        self.nodes, self.constants, self.shapes, self.scales, self.integers = [], {}, {}, {}, {}
        self.number = 0
        if narrow is None:
            self.quantize("x", shape, 0.02)
            return
        unit = self.unit(0.02, int(rng.integers(narrow[0], narrow[1] + 1)))
        whole = self.add("QuantizeLinear", ["x", *unit])
        clipped = self.add("Clip", [whole, *(self.constant(dtype(end)) for end in narrow)])
        self.dequantize(clipped, shape, unit)

    def constant(self, value):
        self.number += 1
        self.constants[f"c{self.number}"] = np.asarray(value)
        return f"c{self.number}"

    def add(self, op, inputs, **attributes):
        self.number += 1
        self.nodes.append(node(op, " ".join(inputs), f"t{self.number}", **attributes))
        return f"t{self.number}"

    def unit(self, scale, zero=None):
        """Names of a scale and a zero point, random unless given."""
        limits = np.iinfo(self.dtype)
        zero = self.rng.integers(limits.min, limits.max + 1) if zero is None else zero
        return self.constant(np.float32(scale)), self.constant(self.dtype(zero))

    def quantize(self, name, shape, scale, zero=None):
        unit = self.unit(scale, zero)
        return self.dequantize(self.add("QuantizeLinear", [name, *unit]), shape, unit)

    def dequantize(self, integers, shape, unit):
        real = self.add("DequantizeLinear", [integers, *unit])
        scale, zero = (self.constants[name].item() for name in unit)
        self.shapes[real], self.scales[real] = shape, (scale, zero)
        self.integers[real] = (integers, *unit)
        return real

    def pick(self):
        return list(self.shapes)[self.rng.integers(len(self.shapes))]

    def partner(self, name):
        """Another tensor that ``name`` may be added to."""
        channels, *spatial = self.shapes[name]
        alike = ((channels, *spatial), (channels, *[1] * len(spatial)))
        fitting = [n for n, s in self.shapes.items() if s in alike]
        return fitting[self.rng.integers(len(fitting))]

    def scale(self, spread=1.0):
        """Often one with which many results lie half way between two integers."""
        return float(self.rng.choice([0.02, 0.04, 0.5**6, self.rng.uniform(0.01, 0.05)])) * spread

    def convolution(self):
        x = self.pick()
        channels, *size = self.shapes[x]
        group = int(self.rng.choice([1, 1, channels]))
        kernel = [int(self.rng.integers(1, min(n, 3) + 1)) for n in size]
        out = group * int(self.rng.integers(1, 5))
        strides = [1, int(self.rng.integers(1, 3))][-len(size) :]
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        operands = self.weights(x, (out, channels // group, *kernel))
        settings = {"group": group, "strides": strides, "pads": pads, "kernel_shape": kernel}
        rank = len(size)
        sizes = zip(size, pads[:rank], pads[rank:], kernel, strides, strict=True)
        shape = (out, *((n + before + after - k) // step + 1 for n, before, after, k, step in sizes))
        if not self.fused:
            real = [self.add("DequantizeLinear", names, axis=0) for names in operands]
            self.quantize(self.add("Conv", [x, *real], **settings), shape, self.scale())
            return
        weight, (bias, *_) = operands
        unit = self.unit(self.scale())
        y = self.add("QLinearConv", [*self.integers[x], *weight, *unit, bias], **settings)
        self.dequantize(y, shape, unit)

    def weights(self, x, shape):
        """Names of integers, scale and zero point, of weights and of a bias: per channel, or u8 per tensor."""
        out = shape[0]
        spread = 60 * np.sqrt(np.prod(shape[1:]))
        if self.dtype is np.uint8 and self.rng.random() < 0.3:
            integers = self.rng.integers(0, 256, shape).astype(np.uint8)
            unit, zero = np.float32(self.rng.uniform(0.3, 1) / spread), np.uint8(self.rng.integers(100, 150))
        else:
            integers = self.rng.integers(-127, 128, shape).astype(np.int8)
            unit, zero = (self.rng.uniform(0.3, 1, out) / spread).astype(np.float32), np.zeros(out, np.int8)
        bias = self.rng.integers(-500, 500, out).astype(np.int32)
        scale = np.float32(self.scales[x][0]) * np.broadcast_to(unit, out)
        groups = ((integers, unit, zero), (bias, scale, np.zeros(out, np.int32)))
        return [[self.constant(value) for value in group] for group in groups]

    def weight(self, integers, scale):
        scale = np.asarray(scale, np.float32)
        zeros = np.zeros(len(scale), integers.dtype)
        operands = [self.constant(value) for value in (integers, scale, zeros)]
        return self.add("DequantizeLinear", operands, axis=0)

    def binary(self):
        x, op = self.pick(), str(self.rng.choice(["Add", "Mul"]))
        other = self.partner(x)
        if other == x:
            return
        pair = [x, other] if self.rng.random() < 0.5 else [other, x]
        scale = self.scale(1 if op == "Add" else 0.7)
        if not self.fused:
            self.quantize(self.add(op, pair), self.shapes[x], scale)
            return
        unit = self.unit(scale)
        operands = [name for real in pair for name in self.integers[real]]
        y = self.add(f"QLinear{op}", [*operands, *unit], domain="com.microsoft")
        self.dequantize(y, self.shapes[x], unit)

    def several(self):
        """A function of two or three streams that is no sum or product, often with something behind it."""
        x, op = self.pick(), str(self.rng.choice(["Sub", "Sub", "Max", "Min", "Where"]))
        names = [x, *(self.partner(x) for _ in range(int(self.rng.integers(1, 3 if op in ("Max", "Min") else 2))))]
        names = [names[n] for n in self.rng.permutation(len(names))]
        if op == "Where":
            shape = [n if self.rng.random() < 0.5 else 1 for n in self.shapes[x]]
            names.insert(0, self.constant(self.rng.random((1, *shape)) < 0.5))
        self.behind(self.add(op, names), x)

    def behind(self, y, x):
        """``y``, alone or with something behind it, quantised; it has the shape of ``x``."""
        after = str(self.rng.choice(["", "", "Relu", "LeakyRelu", "Neg", "Sigmoid"]))
        y = self.add(after, [y], **ACTIVATIONS.get(after, {})) if after else y
        self.quantize(y, self.shapes[x], self.scale())

    def unquantised(self):
        """Sums of a convolution, never quantised, and a stream or the same again. They are exact in float32, too."""
        x = self.pick()
        channels, *size = self.shapes[x]
        exact = self.quantize(x, self.shapes[x], 2.0**-6)
        other = self.partner(x)

        def sums():
            integers = self.rng.integers(-128, 128, (channels, channels, *[1] * len(size))).astype(np.int8)
            return self.add("Conv", [exact, self.weight(integers, np.exp2(self.rng.integers(-10, -7, channels)))])

        second = sums() if self.rng.random() < 0.3 else other
        pair = [sums(), second][:: int(self.rng.choice([1, -1]))]
        self.behind(self.add(str(self.rng.choice(["Add", "Add", "Sub", "Max"])), pair), x)

    def activation(self):
        x, op = self.pick(), str(self.rng.choice(list(ACTIVATIONS)))
        self.quantize(self.add(op, [x], **ACTIVATIONS[op]), self.shapes[x], self.scale(0.3))

    def silu(self):
        x = self.pick()
        gate = self.add("Sigmoid", [x])
        self.quantize(self.add("Mul", [x, gate]), self.shapes[x], self.scale(0.7))

    def concat(self):
        x = self.pick()
        others = [n for n, s in self.shapes.items() if s[1:] == self.shapes[x][1:]]
        y = others[self.rng.integers(len(others))]
        channels, *size = self.shapes[x]
        self.quantize(self.add("Concat", [x, y], axis=1), (channels + self.shapes[y][0], *size), self.scale())

    def joined(self):
        """With a constant for one frame, so that the file takes no more at a time."""
        x = self.pick()
        self.source = (self.source[0], (1, *self.shape))
        channels, *size = self.shapes[x]
        count = int(self.rng.integers(1, 4))
        constant = self.constant(self.rng.normal(0, 1, (1, count, *size)).astype(np.float32))
        pair = [x, constant] if self.rng.random() < 0.6 else [constant, x]
        self.quantize(self.add("Concat", pair, axis=1), (channels + count, *size), self.scale())

    def maximum(self):
        x = self.pick()
        channels, height, width = self.shapes[x]
        y = self.add("MaxPool", [x], kernel_shape=[2, 2], pads=[1, 0, 0, 1], strides=[1, 2])
        self.quantize(y, (channels, height, (width - 1) // 2 + 1), *self.scales[x])

    def average(self):
        x = self.pick()
        channels, *size = self.shapes[x]
        self.quantize(self.add("GlobalAveragePool", [x]), (channels, *[1] * len(size)), self.scale())

    def resize(self):
        x = self.pick()
        channels, height, width = self.shapes[x]
        if height * width > 60:
            return
        scales = self.constant(np.float32([1, 1, 2, 3]))
        settings = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        y = self.add("Resize", [x, "", scales], **settings)
        self.quantize(y, (channels, 2 * height, 3 * width), *self.scales[x])

    def slice(self):
        x = self.pick()
        channels, height, width = self.shapes[x]
        if channels < 2:
            return
        ends = [self.constant(np.int64(n)) for n in ([1], [channels], [1], [1])]
        self.quantize(self.add("Slice", [x, *ends]), (channels - 1, height, width), *self.scales[x])

    def pad(self):
        x = self.pick()
        channels, height, width = self.shapes[x]
        pads = self.constant(np.int64([0, 1, 1, 0, 0, 0, 0, 2]))
        self.quantize(self.add("Pad", [x, pads]), (channels + 1, height + 1, width + 2), *self.scales[x])

    def shuffle(self):
        x = self.pick()
        channels, height, width = self.shapes[x]
        if channels % 2:
            return
        apart = self.add("Reshape", [x, self.constant(np.int64([0, 2, channels // 2, height, width]))])
        turned = self.add("Transpose", [apart], perm=[0, 2, 1, 3, 4])
        y = self.add("Reshape", [turned, self.constant(np.int64([0, channels, height, width]))])
        self.quantize(y, self.shapes[x], *self.scales[x])


STEPS = (
    *["convolution"] * 4, *["binary"] * 4, "several", "several", "unquantised", "activation", "silu", "concat",
    "maximum", "average", "resize", "slice",
    "pad", "shuffle", "joined",
)  # fmt: skip


#: Those for one dimension, too.
LINE_STEPS = "convolution convolution binary several unquantised activation silu concat joined average".split()  # noqa: SIM905


def random_model(rng):
    """A model of one to ten operators of random form."""
    dtype = (np.uint8, np.int8)[rng.integers(2)]
    line, fused = rng.random() < 0.2, rng.random() < 0.3
    shape = tuple(int(n) for n in rng.integers(1, (5, 13) if line else (5, 7, 7)))
    model = Model(rng, dtype, shape, fused, narrow_range(rng, dtype) if rng.random() < 0.3 else None)
    for step in rng.choice(LINE_STEPS if line else STEPS, rng.integers(1, 11)):
        getattr(model, step)()
    return model


def narrow_range(rng, dtype):
    """Two to eight bits, the least or the greatest integer left out or not."""
    half = 1 << int(rng.integers(1, 8))
    if dtype is np.int8:
        return int(rng.integers(-half, -half + 2)), half - 1
    return 0, int(rng.integers(2 * half - 2, 2 * half))


def frames(rng, shape, count=4):
    return rng.normal(0, 1.5, (count, *shape)).astype(np.float32)


def lowered(model, folder):
    """The network of ``model`` and the file it comes from."""
    output = list(model.shapes)[-1]
    proto = build(model.nodes, output, model.constants, model.source, opset=18, kind=TensorProto.FLOAT)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = save(proto, folder)
    return lower(simplify(read_model(path)), OPERATORS, warn=lambda line: None), path
