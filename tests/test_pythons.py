"""Every Python writes the same hardware: names do not depend on the interpreter's bytecode."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import amaranth
import pytest

from hwgen.blocks import AveragePool, Concat, Conv, Dense, FixedOperand, Interpolate, Pad, Table
from hwgen.hdl import tracing
from hwgen.hdl.rtlil import to_rtlil
from tests.blocks.cases import CASES, kind
from tests.shared import ROOT

VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

#: Ways to assign that bytecode tells apart in some versions only.
STYLES = """
import importlib.util, sys
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, memory
spec = importlib.util.spec_from_file_location("tracing", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))

class Holder:
    pass

def helper():
    made = Signal(3)
    return made

def styles(m):
    holder, more = Holder(), {}
    plain = Signal(4)
    holder.attribute = Signal(4)
    wide: Signal = Signal(signed(7))
    first = second = Signal()
    one, two = Signal(), Signal(range(9))
    taken, late = Signal(3, name="given"), Signal(3)
    below = Signal(
        8,
        init=3,
    )
    layout = Signal(data.ArrayLayout(4, 2))
    several = [Signal() for _ in range(2)]
    more["key"] = Signal()
    like = Signal.like(plain)
    m.submodules.store = store = memory.Memory(shape=8, depth=16, init=[])
    read = store.read_port()
    write = store.write_port()
    ports = [store.read_port() for _ in range(2)]
    if (walrus := Signal()) is not None:
        pass
    return [plain, holder.attribute, wide, first, one, two, taken, late, below, layout.as_value(), *several,
            more["key"], like, read.addr, write.data, *[port.addr for port in ports], walrus, helper()]

for _ in range(2):
    print(*(signal.name for signal in styles(Module())))
"""


def hardware() -> str:
    """A digest of one piece of hardware for each of several operators."""
    first = {kind(unit): unit for _, unit in reversed(CASES)}
    kinds = (Conv, Dense, AveragePool, Table, FixedOperand, Concat, Pad, Interpolate)
    texts = [to_rtlil(first[each.__name__].block(), "top") for each in kinds]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


@cache
def others() -> list[str]:
    """Commands of Pythons of other versions: ``HWGEN_PYTHONS``, those on the path and those of pyenv."""
    named = [name for name in os.environ.get("HWGEN_PYTHONS", "").split(os.pathsep) if name]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        named += [*filter(None, [shutil.which(f"python{version}")]), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
    own = "{}.{}".format(*sys.version_info)
    tell = "import sys; print('{}.{}'.format(*sys.version_info))"
    found = [(ran(name, "-c", tell).stdout.strip(), name) for name in named]
    return [name for version, name in found if version in VERSIONS and version != own]


def ran(python: str, *arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    command = [python, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


def names(python: str, folder: Path) -> str:
    """Names of signals made in all ``STYLES``. Amaranth needs no more than Python itself: ours is lent."""
    (folder / "styles.py").write_text(STYLES, encoding="utf-8")
    done = ran(python, str(folder / "styles.py"), tracing.__file__, path=Path(amaranth.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_names_are_those_in_the_source(tmp_path):
    first, second = names(sys.executable, tmp_path).splitlines()
    assert first == second
    assert first.startswith("plain attribute wide first one two given late below layout $signal $signal $signal ")


@pytest.mark.slow
def test_names_are_the_same_in_other_pythons(tmp_path):
    if not others():
        pytest.skip(f"no other Python of {', '.join(VERSIONS)} was found on the path or in pyenv")
    told = {python: names(python, tmp_path) for python in [sys.executable, *others()]}
    assert len(set(told.values())) == 1, told


def test_another_python_writes_the_same_hardware():
    needs = "import amaranth, numpy, onnx, numba, jinja2, rich, click"
    able = [python for python in others() if ran(python, "-c", needs).returncode == 0]
    if not able:
        pytest.skip("no other Python has hwgen's dependencies: name one in HWGEN_PYTHONS")
    done = ran(able[0], "-c", "from tests.test_pythons import hardware; print(hardware())")
    assert done.stdout.strip() == hardware(), done.stderr
