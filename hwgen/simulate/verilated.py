"""Hardware as a compiled program: the Verilog that users get, run by Verilator and driven from here by ctypes."""

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring

from hwgen.blocks.stream import port_names
from hwgen.hdl.elements import Library
from hwgen.hdl.export import rtlil_to_verilog, with_memories
from hwgen.hdl.rtlil import to_netlist
from hwgen.memory.dram.port import memory_names
from hwgen.simulate.dram import MemoryFault
from hwgen.simulate.verilated_memory import CompiledMemory
from hwgen.simulate.waves import Waves
from hwgen.tools.verilator import FAST, shared_object

#: Cycles between two looks at progress and at Ctrl-C.
_SLICE = 1 << 10
_SOURCE, _SINK, _WATCH = range(3)
#: What a run says where a memory was asked for what it must not be.
_FAULT = -2
#: How a memory finds its file when a simulation starts.
_READ = """\
  initial begin : read_contents
    string folder;
    if ($value$plusargs("contents=%s", folder)) $readmemh({{folder, "/{file}"}}, {memory}, 0, {last});
  end
"""


class CompiledError(RuntimeError):
    """A compiled design stood still or broke the stream contract."""


@dataclass(frozen=True, eq=False)
class Beats:
    """What moved over a stream: ``payloads``, each with its bits in little-endian bytes, uint8 [beats, bytes], and the
    ``cycles`` in which they moved, int64 [beats]."""

    payloads: np.ndarray
    cycles: np.ndarray

    @staticmethod
    def room(count: int, width: int) -> "Beats":
        """Empty room for ``count`` beats of ``width`` bits."""
        return Beats(np.zeros((count, -(-width // 32) * 4), np.uint8), np.zeros(count, np.int64))


class CompiledDesign:
    """A component with streams ``i...`` in, ``o...`` out, watches ``watch_n_moves`` with ``watch_n_payload``, and ports
    ``memory...`` towards memories.

    Made once, run any number of times, by any number of threads; see :meth:`run`. ``level`` is that of
    :func:`hwgen.tools.verilator.shared_object`. With ``trace`` it can write waveforms. It is compiled when it is first
    loaded, where it is: it can be sent to other processes and machines. ``made`` holds what has been made of it
    already.
    """

    def __init__(
        self, component: wiring.Component, level: str = FAST, trace: bool = False, made: Library | None = None
    ):
        self.sources, self.sinks = port_names(component)
        names = component.signature.members
        self.watches = [name.removesuffix("_moves") for name in names if name.endswith("_moves")]
        self.memories = memory_names(component)
        self.widths = {name: len(Value.cast(getattr(component, name).payload)) for name in self.sources + self.sinks}
        self.widths |= {name: len(getattr(component, f"{name}_payload")) for name in self.watches}
        netlist = to_netlist(component, "top", made).with_contents(0)
        self._roms, self._level, self._trace_too = netlist.roms, level, trace
        self._verilog = with_memories(rtlil_to_verilog(netlist.text, "top"), netlist, _READ)

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "driver"}

    @cached_property
    def driver(self) -> ctypes.CDLL:
        """The compiled design with its driver. Raises InputError where there is no Verilator or no C++ compiler."""
        return _load(shared_object(self._verilog, self._streams(), self._level, self._trace_too))

    def load(self) -> None:
        """Compile it, unless that has been done."""
        assert self.driver

    def _streams(self) -> str:
        """What the driver must know of the streams."""
        stream = "X({n}, {name}_05F_valid, {name}_05F_payload, {name}_05F_ready)"
        watch = "X({n}, {name}_moves, {name}_payload)"
        lines = []
        kinds = (("INPUTS", self.sources, stream), ("OUTPUTS", self.sinks, stream), ("WATCHES", self.watches, watch))
        for macro, names, form in (*kinds, ("MEMORIES", self.memories, "X({n}, {name})")):
            entries = (form.format(n=n, name=name) for n, name in enumerate(names))
            lines.append(f"#define {macro}(X) {' '.join(entries)}\n".replace("_05F_", "___05F"))
        return "".join(lines)

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        *,
        stall: int | None = None,
        patience: int = 100_000,
        progress: Callable[[float], None] = lambda share: None,
        trace: Waves | None = None,
        memories: Sequence[CompiledMemory] = (),
    ) -> dict[str, Beats]:
        """What moved over every stream, until each of ``counts`` (outputs and watches) has so many beats.

        ``inputs`` hold payloads as :class:`Beats` does. Sources always offer and sinks always take; with ``stall`` (a
        seed) both pause at random. There is one of ``memories`` for each port towards one. Raises
        :class:`CompiledError` where nothing moves for ``patience`` cycles, or where an output withdraws or changes a
        beat that it offered, and :class:`hwgen.simulate.dram.MemoryFault` where a memory is asked for what it must not
        be.
        """
        if len(memories) != len(self.memories):
            raise ValueError(f"{len(memories)} memories for {len(self.memories)} ports")

        beats = {name: Beats.room(count, self.widths[name]) for name, count in counts.items()}
        for name, payloads in inputs.items():
            beats[name] = Beats.room(len(payloads), self.widths[name])
            beats[name].payloads[:, : payloads.shape[1]] = payloads
        with self.simulation(0 if stall is None else stall + 1) as simulation:
            if trace:
                self._trace(simulation, trace)
            for n, memory in enumerate(memories):
                memory.attach(self.driver, simulation, n)
            self._until_done(simulation, beats, patience, progress, trace)
            for n, memory in enumerate(memories):
                memory.look(self.driver, simulation, n)
            if trace:
                self._check_trace(simulation, trace, still_open=False)
            taken = {name: self.driver.hwgen_moved(simulation, _SOURCE, n) for n, name in enumerate(self.sources)}
        for name, count in taken.items():
            beats[name] = Beats(beats[name].payloads[:count], beats[name].cycles[:count])
        return beats

    @contextmanager
    def simulation(self, seed: int = 0) -> Iterator[int]:
        """A simulation before its first cycle, with this seed for pauses, for the functions of :attr:`driver`."""
        sizes = len(self.sources), len(self.sinks), len(self.watches), len(self.memories)
        with tempfile.TemporaryDirectory(prefix="hwgen_contents_") as folder:
            for name, contents in self._roms.items():
                (Path(folder) / f"{name}.hex").write_text(contents.hex_lines(), encoding="ascii")
            simulation = self.driver.hwgen_create(*sizes, seed, folder.encode())
        try:
            yield simulation
        finally:
            self.driver.hwgen_destroy(simulation)

    def _trace(self, simulation: int, trace: Waves) -> None:
        """Write waveforms of the cells ``trace.layers``."""
        last = (1 << 62) if trace.last is None else trace.last
        cells = (ctypes.c_char_p * len(trace.layers))(*(cell.encode() for cell in trace.layers))
        self.driver.hwgen_trace(simulation, str(trace.path).encode(), trace.first, last, cells, len(cells))

    def _check_trace(self, simulation: int, trace: Waves, still_open: bool) -> None:
        """OSError where not all waveforms could be written so far."""
        failed = self.driver.hwgen_trace_failed(simulation, still_open)
        if failed:
            raise OSError(failed, os.strerror(failed), str(trace.path))

    def _until_done(
        self, simulation: int, beats: Mapping[str, Beats], patience: int, progress, trace: Waves | None
    ) -> None:
        library, streams = self.driver, list(self.numbered())
        for kind, n, name in streams:
            room = beats[name]
            library.hwgen_stream(
                simulation,
                kind,
                n,
                room.payloads.ctypes.data,
                room.payloads.shape[1],
                room.cycles.ctypes.data,
                len(room.cycles),
            )
        total, moved, last = sum(len(room.cycles) for room in beats.values()), 0, 0
        while not (state := library.hwgen_run(simulation, _SLICE)):
            if trace:
                self._check_trace(simulation, trace, still_open=True)
            now = sum(library.hwgen_moved(simulation, kind, n) for kind, n, _ in streams)
            cycle = library.hwgen_cycle(simulation)
            moved, last = now, cycle if now > moved else last
            if cycle - last > patience:
                raise CompiledError(f"the hardware stands still from cycle {last} on")
            progress(now / total)
        if state == _FAULT:
            raise MemoryFault(library.hwgen_fault(simulation).decode())
        if state < 0:
            cycle = library.hwgen_cycle(simulation)
            raise CompiledError(f"before cycle {cycle} an output withdrew or changed a beat that it offered")

    def numbered(self) -> Iterator[tuple[int, int, str]]:
        """Every stream: its kind and number, by which the driver knows it, and its name."""
        for kind, names in ((_SOURCE, self.sources), (_SINK, self.sinks), (_WATCH, self.watches)):
            yield from ((kind, n, name) for n, name in enumerate(names))


def _load(path: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(path))
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    signatures = {
        "hwgen_create": (pointer, [ctypes.c_int] * 4 + [ctypes.c_uint64, ctypes.c_char_p]),
        "hwgen_destroy": (None, [pointer]),
        "hwgen_stream": (None, [pointer, ctypes.c_int, ctypes.c_int, pointer, integer, pointer, integer]),
        "hwgen_moved": (integer, [pointer, ctypes.c_int, ctypes.c_int]),
        "hwgen_run": (ctypes.c_int, [pointer, integer]),
        "hwgen_cycle": (integer, [pointer]),
        "hwgen_memory": (None, [pointer, ctypes.c_int, pointer]),
        "hwgen_read": (integer, [pointer, ctypes.c_int, ctypes.c_int]),
        "hwgen_fault": (ctypes.c_char_p, [pointer]),
    }
    if hasattr(loaded, "hwgen_trace"):
        signatures["hwgen_trace_failed"] = (ctypes.c_int, [pointer, ctypes.c_int])
        signatures["hwgen_trace"] = (None, [pointer, ctypes.c_char_p, integer, integer, pointer, ctypes.c_int])
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
