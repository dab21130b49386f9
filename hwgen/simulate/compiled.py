"""A plan through the compiled engine: frames in, every layer's integers and the cycles out."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np

from hwgen.dataflow.pipeline import Pipeline, module_names, output_names
from hwgen.dataflow.plan import Plan
from hwgen.graph.errors import InputError, near
from hwgen.graph.types import IntType
from hwgen.hdl.contents import pack_rows
from hwgen.simulate.verilated import Beats, CompiledDesign
from hwgen.simulate.waves import Waves
from hwgen.tools.verilator import FAST, QUICK
from hwgen.top.made import library_of

#: Frames that a program takes less time for than a compiler takes to make it faster: 9 for ResNet-8, 30 for LeNet-5.
FEW_FRAMES = 8


def level(frames: int) -> str:
    """How far to compile what simulates so many."""
    return QUICK if frames <= FEW_FRAMES else FAST


class CompiledPlan:
    """A plan as a program; compiled when it is first run. ``level`` is of :func:`hwgen.tools.verilator.library`."""

    def __init__(self, plan: Plan, level: str = FAST):
        self.plan, self.level = plan, level

    @cached_property
    def design(self) -> CompiledDesign:
        return CompiledDesign(Pipeline(self.plan, watched=True), self.level, made=library_of(self.plan))

    @cached_property
    def traced(self) -> CompiledDesign:
        """The same with waveforms; it takes longer to compile and to run."""
        return CompiledDesign(Pipeline(self.plan, watched=True), trace=True, made=library_of(self.plan))

    def run(
        self,
        integers: np.ndarray,
        stall: int | None = None,
        progress: Callable[[float], None] = lambda share: None,
        trace: Waves | None = None,
    ) -> tuple[dict[str, np.ndarray], dict[str, Beats]]:
        """Every layer's integers [N, H, W, C] by tensor, and the beats of every stream, for input integers of frames.

        Streams are ``i``, ``o`` (``o_0`` and so on of several) and ``watch_n`` for layer ``n``. ``stall`` is a seed for
        random pauses at both ends, ``trace`` says what waveforms to write.
        Raises :class:`hwgen.simulate.verilated.CompiledError` where the hardware stops or breaks the stream contract.
        """
        network, plan, frames = self.plan.network, self.plan, len(integers)
        layers = list(zip(plan.layers, network.layers, strict=True))
        counts = {f"watch_{n}": frames * x.op.output.elements // x.unit.lanes_out for n, (x, _) in enumerate(layers)}
        results = zip(output_names(len(network.results)), network.results, plan.lanes_out, strict=True)
        counts |= {name: frames * stream.map.elements // lanes for name, stream, lanes in results}
        design = self.traced if trace else self.design
        beats = design.run(
            {"i": packed(integers, network.input.map.type, plan.lanes_in)},
            counts,
            stall=stall,
            patience=10_000 + 4 * max(layer.cost.cycles for layer in plan.layers),
            progress=progress,
            trace=trace and replace(trace, layers=self._cells(trace.layers)),
        )
        tensors = {network.input.name: integers}
        for n, (layer, place) in enumerate(layers):
            map_ = layer.op.output
            flat = unpacked(beats[f"watch_{n}"].payloads, map_.type, layer.unit.lanes_out)
            tensors[place.output] = flat.reshape(frames, *map_.shape)
        return tensors, beats

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


def packed(values: np.ndarray, type_: IntType, lanes: int) -> np.ndarray:
    """Integers in raster order as payloads of ``lanes``, the first lowest: uint8 [beats, bytes], little-endian."""
    return pack_rows(np.asarray(values).reshape(-1, lanes), type_.width)


def unpacked(payloads: np.ndarray, type_: IntType, lanes: int) -> np.ndarray:
    """The integers of payloads, flat, in the type's own dtype."""
    if type_.width == 8:
        return np.ascontiguousarray(payloads[:, :lanes]).view(type_.dtype).reshape(-1)
    bits = np.unpackbits(payloads, axis=1, count=type_.width * lanes, bitorder="little")
    values = bits.reshape(-1, type_.width).astype(np.int64) @ (1 << np.arange(type_.width, dtype=np.int64))
    if type_.signed:
        values -= (values >> (type_.width - 1)) << type_.width
    return values.astype(type_.dtype)
