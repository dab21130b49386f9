"""A plan through the compiled engine: frames in, every layer's integers and the cycles out."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from hwgen.blocks.stream import numbered
from hwgen.dataflow.pipeline import Pipeline, module_names
from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError, near
from hwgen.simulate.dram import Memory, banks, patience
from hwgen.simulate.feed import Feed, Ran, Reads, unpacked
from hwgen.simulate.verilated import CompiledDesign
from hwgen.simulate.verilated_memory import CompiledMemory
from hwgen.simulate.waves import Waves
from hwgen.tools.verilator import FAST, QUICK
from hwgen.top.loader import LoadedPipeline
from hwgen.top.made import library_of

#: Frames that a program takes less time for than a compiler takes to make it faster: 9 for ResNet-8, 30 for LeNet-5.
FEW_FRAMES = 8


def level(frames: int) -> str:
    """How far to compile what simulates so many."""
    return QUICK if frames <= FEW_FRAMES else FAST


class CompiledPlan:
    """A plan as a program; compiled when it is first run. ``level`` is of
    :func:`hwgen.tools.verilator.shared_object`; with ``loaded`` it takes loads among the frames."""

    def __init__(self, plan: Plan, level: str = FAST, loaded: bool = False):
        self.plan, self.level, self.loaded = plan, level, loaded

    @property
    def _pipeline(self) -> Pipeline | LoadedPipeline:
        pipeline = Pipeline(self.plan, watched=True)
        return LoadedPipeline(pipeline) if self.loaded else pipeline

    @cached_property
    def design(self) -> CompiledDesign:
        """The program; made when it is first asked for."""
        return CompiledDesign(self._pipeline, self.level, made=library_of(self.plan))

    @cached_property
    def traced(self) -> CompiledDesign:
        """The same with waveforms; it takes longer to compile and to run."""
        return CompiledDesign(self._pipeline, trace=True, made=library_of(self.plan))

    def run(
        self,
        feed: Feed,
        stall: int | None = None,
        progress: Callable[[float], None] = lambda share: None,
        trace: Waves | None = None,
        memory: Memory | None = None,
    ) -> Ran:
        """What comes of ``feed``.

        ``stall`` is a seed for random pauses at both ends, ``trace`` says what waveforms to write, ``memory`` is what
        the hardware reads from, the slowest within its contract unless given.
        Raises :class:`hwgen.simulate.verilated.CompiledError` where the hardware stops or breaks the stream contract,
        and :class:`hwgen.simulate.dram.MemoryFault` where it reads what it must not.
        """
        network, plan, frames = self.plan.network, self.plan, len(feed.integers)
        counts = {f"watch_{n}": frames * layer.unit.outputs[0].beats for n, layer in enumerate(plan.layers)}
        outputs = numbered("o", len(network.results))
        results = zip(outputs, network.results, plan.lanes_out, strict=True)
        counts |= {name: frames * stream.map.elements // lanes for name, stream, lanes in results}
        loading = 2 * feed.loads.load_bytes if feed.loads else 0
        design = self.traced if trace else self.design
        memories = list(map(CompiledMemory, banks(plan, memory or Memory(), frames)))
        beats = design.run(
            {"i": feed.payloads},
            counts,
            stall=stall,
            patience=10_000 + 4 * max(layer.cost.cycles for layer in plan.layers) + loading + patience(plan),
            progress=progress,
            trace=trace and replace(trace, layers=self._cells(trace.layers)),
            memories=memories,
        )
        tensors = {network.input.name: feed.integers}
        for n, layer in enumerate(plan.layers):
            port = layer.unit.outputs[0]
            flat = unpacked(beats[f"watch_{n}"].payloads, port.map.type, port.lanes)
            tensors[layer.output] = flat.reshape(frames, *port.map.shape)
        reads = Reads.sum(each.reads for each in memories)
        return Ran(tensors, beats["i"].cycles, [beats[name].cycles for name in outputs], reads)

    def _cells(self, layers: tuple[str, ...]) -> tuple[str, ...]:
        """The instances of ``layers`` in the Verilog."""
        names = [stage.name for stage in self.plan.stages]
        cells = dict(zip(names, module_names(names), strict=True))
        layers = tuple(self.plan.network.own_name(layer) for layer in layers)
        unknown = [layer for layer in layers if layer not in cells]
        if unknown:
            raise InputError(
                *(f"there is no layer {name!r} to trace; near are {near(name, cells)}" for name in unknown)
            )
        return tuple(cells[layer] for layer in layers)
