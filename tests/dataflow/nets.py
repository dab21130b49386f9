"""Chains of operators as networks, random and fixed."""

import numpy as np

from hwgen.blocks import Add, AveragePool, GlobalAveragePool, MaxPool, Mul
from hwgen.graph.network import Layer, Network, Output, QuantizedTensor
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap, Quantization
from tests.blocks.cases import conv, dense, pool, site
from tests.blocks.stream_cases import joint


def chain(*ops) -> Network:
    """The operators one after the other."""
    return graph(*((op, f"t{n}") for n, op in enumerate(ops)))


def small() -> Network:
    """Convolution, pooling, convolution without padding, fully connected."""
    first = conv(FeatureMap(8, 8, 2, U8), Window((3, 3), pads=(1, 1, 1, 1)), 6)
    second = pool(MaxPool, first.output, Window((2, 2), (2, 2)))
    third = conv(second.output, Window((3, 3)), 5, seed=3)
    return chain(first, second, third, dense(third.output, 7))


def separable() -> Network:
    """Depthwise and 1x1 convolutions in turn, then one in groups: MobileNet and ResNeXt in small."""
    same, down = Window((3, 3), pads=(1, 1, 1, 1)), Window((3, 3), (2, 2), pads=(0, 0, 1, 1))
    first = conv(FeatureMap(9, 8, 3, U8), down, 4)
    second = conv(first.output, same, 4, group=4, seed=1)
    third = conv(second.output, Window((1, 1)), 6, seed=2)
    fourth = conv(third.output, down, 12, group=6, seed=3)
    fifth = conv(fourth.output, Window((2, 1)), 8, group=4, seed=4)
    return chain(first, second, third, fourth, fifth, dense(fifth.output, 5))


def squeezed() -> Network:
    """Squeeze and excitation: a map waits for what is computed of all of it, and is multiplied by that."""
    same, one, unit = Window((3, 3), pads=(1, 1, 1, 1)), Window((1, 1)), Quantization(U8, 0.02, 3)
    first = conv(FeatureMap(6, 7, 3, U8), same, 8)
    mean = GlobalAveragePool.from_site(site("GlobalAveragePool", first.output, one, 8))
    fewer = conv(mean.output, one, 3, seed=1)
    gate = conv(fewer.output, one, 8, seed=2)
    gated = joint(Mul, (first.output.shape, gate.output.shape), (unit, unit), unit)
    last = conv(gated.output, one, 5, seed=3)
    return graph(
        (first, "t0"), (mean, "t1"), (fewer, "t2"), (gate, "t3"), (gated, "t1", "t4"), (last, "t5")
    )  # fmt: skip


def graph(*placed) -> Network:
    """Operators with the names of what they read: t0 is the input, tn the result of the nth."""
    quantization = Quantization(U8, 0.02, 3)
    tensors = [QuantizedTensor("t0", placed[0][0].input, quantization)]
    tensors += [QuantizedTensor(f"t{n}", op.output, quantization) for n, (op, *_) in enumerate(placed, 1)]
    layers = tuple(Layer(f"layer{n}", op, tuple(reads), f"t{n + 1}") for n, (op, *reads) in enumerate(placed))
    first, last = tensors[0], tensors[-1]
    outputs = (Output(last.name, (last,), last.map.shape),)
    return Network("network", first, first.map.shape, outputs, layers, {tensor.name: tensor for tensor in tensors})


def random_network(seed: int) -> Network:
    """Two to four layers of any kind that fit on each other."""
    generator = np.random.default_rng(seed)
    shape = generator.integers([4, 4, 1], [9, 9, 5])
    source, ops = FeatureMap(*map(int, shape), U8), []
    for _ in range(int(generator.integers(1, 4))):
        kernel = tuple(int(min(n, generator.integers(1, 4))) for n in (source.height, source.width))
        stride = tuple(int(n) for n in generator.integers(1, 3, 2))
        pads = tuple(int(generator.integers(0, k)) for k in (*kernel, *kernel))
        window = Window(kernel, stride, pads=pads)
        kind = generator.choice(["conv", "conv", "max", "average"])
        if kind == "conv":
            ops.append(conv(source, window, int(generator.integers(1, 7)), seed=seed))
        else:
            ops.append(pool(MaxPool if kind == "max" else AveragePool, source, window, Quantization(U8, 0.03, 2)))
        source = ops[-1].output
    if generator.random() < 0.5:
        ops.append(dense(source, int(generator.integers(1, 9)), seed=seed))
    return chain(*ops)


def residual(size: int = 8, channels: int = 4) -> Network:
    """Two residual blocks of two convolutions each, the second with a projection to half the size."""
    same, down, unit = Window((3, 3), pads=(1, 1, 1, 1)), Window((3, 3), (2, 2), pads=(1, 1, 1, 1)), Window((1, 1))
    quantization = Quantization(U8, 0.02, 3)
    first = conv(FeatureMap(size, size, 3, U8), same, channels)
    second, third = conv(first.output, same, channels, seed=1), conv(first.output, same, channels, seed=2)
    added = joint(Add, (third.output.shape,) * 2, (quantization,) * 2, quantization)
    fifth = conv(added.output, down, 2 * channels, seed=3)
    sixth = conv(fifth.output, same, 2 * channels, seed=4)
    seventh = conv(added.output, Window((1, 1), (2, 2)), 2 * channels, seed=5)
    last = joint(Add, (sixth.output.shape,) * 2, (quantization,) * 2, quantization)
    return graph(
        (first, "t0"), (second, "t1"), (third, "t2"), (added, "t3", "t1"), (fifth, "t4"), (sixth, "t5"),
        (seventh, "t4"), (last, "t6", "t7"), (conv(last.output, unit, 5, seed=6), "t8"),
    )  # fmt: skip
