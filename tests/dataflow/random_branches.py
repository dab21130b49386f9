"""Random small networks with branches: everything that has hardware, nested forks, and joins of every kind."""

import numpy as np

from hwgen.blocks import Add, AveragePool, Concat, GlobalAveragePool, MaxPool, Mul, ShuffleChannels, Slice, Upsample
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.queues import size_queues
from hwgen.dataflow.search.search import USUAL, Search
from hwgen.device.targets import device
from hwgen.graph.network import Layer, Network, Output, QuantizedTensor
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap, Quantization
from tests.blocks.cases import conv, pool, site
from tests.blocks.stream_cases import joint

_TARGET = Quantization(U8, 0.05, 3)
_STEPS = ("convolve",) * 6 + ("depthwise",) * 2 + ("reduce",) * 2 + ("add",) * 5 + ("concat",) * 3
_STEPS += ("slice", "enlarge", "multiply", "shuffle")
#: Elements of a map at most.
_LARGEST = 150


class _Builder:
    """A network under construction; ``loose`` are the tensors that nothing reads yet."""

    def __init__(self, generator: np.random.Generator):
        self.generator = generator
        height, width, channels = map(int, generator.integers([3, 3, 1], [7, 7, 4]))
        self.maps = {"t0": FeatureMap(height, width, channels, U8)}
        self.layers: list[Layer] = []
        self.loose = ["t0"]

    def number(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high, endpoint=True))

    def pick(self, fits=lambda map_: True) -> str | None:
        """A tensor, more often one that nothing reads."""
        names = [name for name, map_ in self.maps.items() if fits(map_)]
        loose = [name for name in names if name in self.loose]
        names = loose if loose and self.generator.random() < 0.5 else names
        return names[self.number(0, len(names) - 1)] if names else None

    def add(self, op, *inputs: str) -> None:
        if op is None or op.output.elements > _LARGEST:
            return
        made = f"t{len(self.layers) + 1}"
        self.layers.append(Layer(f"layer{len(self.layers)}", op, inputs, made))
        self.maps[made] = op.output
        self.loose = [name for name in self.loose if name not in inputs] + [made]

    def window(self, map_: FeatureMap, least: int = 1) -> Window:
        kernel = tuple(min(n, self.number(least, 3)) for n in (map_.height, map_.width))
        strides = (self.number(1, 2), self.number(1, 2)) if self.generator.random() < 0.3 else (1, 1)
        if self.generator.random() < 0.6:  # as large as it was, so that it can be joined again
            before = [(k - 1) // 2 for k in kernel]
            return Window(kernel, strides, pads=(*before, *(k - 1 - b for k, b in zip(kernel, before, strict=True))))
        return Window(kernel, strides, pads=tuple(self.number(0, k - 1) for k in (*kernel, *kernel)))

    def convolve(self) -> None:
        x = self.pick()
        map_ = self.maps[x]
        channels = map_.channels if self.generator.random() < 0.5 else self.number(1, 6)
        self.add(conv(map_, self.window(map_), channels, seed=len(self.layers)), x)

    def depthwise(self) -> None:
        x = self.pick(lambda map_: map_.channels > 1)
        if x:
            map_ = self.maps[x]
            self.add(conv(map_, self.window(map_, 2), map_.channels, group=map_.channels, seed=len(self.layers)), x)

    def reduce(self) -> None:
        x = self.pick(lambda map_: min(map_.height, map_.width) > 1)
        if x and self.generator.random() < 0.3:
            self.average(x)
        elif x:
            kind = MaxPool if self.generator.random() < 0.5 else AveragePool
            self.add(pool(kind, self.maps[x], self.window(self.maps[x], 2), Quantization(U8, 0.03, 2)), x)

    def average(self, x: str) -> None:
        source = self.maps[x]
        self.add(GlobalAveragePool.from_site(site("GlobalAveragePool", source, Window((1, 1)), source.channels)), x)

    def _pair(self, kind) -> None:
        """Of two maps alike, or of one and a number for each of its channels."""
        x = self.pick()
        shape = self.maps[x].shape
        y = self.pick(lambda map_: map_.shape in (shape, (1, 1, shape[2])))
        if x != y:
            quantizations = (Quantization(U8, 0.0317, 7), Quantization(U8, 0.0213, 3))
            self.add(joint(kind, (shape, self.maps[y].shape), quantizations, _TARGET), x, y)

    def add_two(self) -> None:
        self._pair(Add)

    def multiply(self) -> None:
        self._pair(Mul)

    def concat(self) -> None:
        x = self.pick()
        size = self.maps[x].shape[:2]
        y = self.pick(lambda map_: map_.shape[:2] == size)
        if x != y:
            self.join(x, y)

    def join(self, x: str, y: str) -> None:
        a, b = self.maps[x], self.maps[y]
        self.add(Concat((a, b), FeatureMap(a.height, a.width, a.channels + b.channels, U8), 2), x, y)

    def slice(self) -> None:
        x = self.pick(lambda map_: map_.channels > 1)
        if x:
            map_ = self.maps[x]
            cut = self.number(1, map_.channels - 1)
            self.add(Slice(map_, FeatureMap(map_.height, map_.width, cut, U8), (0, 0, 0), (1, 1, 1)), x)

    def enlarge(self) -> None:
        x = self.pick()
        map_, scales = self.maps[x], (self.number(1, 2), 2)
        self.add(Upsample(map_, FeatureMap(map_.height * scales[0], map_.width * 2, map_.channels, U8), scales), x)

    def shuffle(self) -> None:
        x = self.pick(lambda map_: map_.channels > 1)
        if x:
            self.add(ShuffleChannels(self.maps[x], self.maps[x], self.generator.permutation(self.maps[x].channels)), x)

    def finish(self) -> Network:
        """Join what nothing reads."""
        while len(self.loose) > 1:
            x, y = self.loose[:2]
            large = [name for name in (x, y) if self.maps[name].shape[:2] != (1, 1)]
            if self.maps[x].shape[:2] == self.maps[y].shape[:2]:
                before = len(self.layers)
                self.join(x, y)
                large = large if len(self.layers) == before else []
            for name in large if len(self.loose) > 1 and {x, y} <= set(self.loose) else ():
                self.average(name)
        tensors = {name: QuantizedTensor(name, map_, _TARGET) for name, map_ in self.maps.items()}
        first, (last,) = tensors["t0"], self.loose
        outputs = (Output(last, (tensors[last],), tensors[last].map.shape),)
        return Network("branches", first, first.map.shape, outputs, tuple(self.layers), tensors)


def random_branches(seed: int) -> Network:
    """Three to ten layers, most of them in branches, of small maps."""
    generator = np.random.default_rng(seed)
    builder = _Builder(generator)
    builder.convolve()
    for step in generator.choice(_STEPS, generator.integers(2, 9)):
        getattr(builder, {"add": "add_two"}.get(step, step))()
    while not builder.layers:
        builder.convolve()
    return builder.finish()


def random_plan(seed: int) -> Plan:
    """A plan of :func:`random_branches`: foldings found for a random budget, or any at all; queues sized for it."""
    network, generator = random_branches(seed), np.random.default_rng(seed)
    if generator.random() < 0.5:
        search = Search(network, device(USUAL), bound=False)
        offers = search.offers
        least, most = offers.least, int(offers.multipliers(max(layer.front[0][0] for layer in offers.layers)))
        search = search.within(int(generator.integers(least, min(most, least + 40) + 1)))
        return search.plan(search.picks())
    units = []
    for layer in network.layers:
        offered = list(layer.op.units())
        units.append(offered[generator.integers(len(offered))])
    plan = Plan.of(network, units)
    return size_queues(plan, max(stage.cost.cycles for stage in plan.stages))
