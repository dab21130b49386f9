"""The check in a build: by which engine, remembered by content, and made again when anything is another."""

import json
import os
import shutil

import numpy as np
import pytest

import hwgen
from hwgen.simulate import checking
from hwgen.tools import cache, verilator
from tests import tiny
from tests.cli.test_cli import run


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def design(tmp_path):
    return hwgen.compile(tiny.save(tmp_path / "tiny.onnx"), calibration=tiny.frames(), multipliers=10)


@pytest.fixture
def simulated(monkeypatch):
    """The engines that were asked; what they are asked again they say again."""
    asked, said, ask = [], {}, checking.simulate

    def answer(network, plan, frames, engine, progress):
        asked.append(engine)
        key = (network, plan, frames.tobytes(), engine)
        return said.get(key) or said.setdefault(key, ask(network, plan, frames, engine, progress))

    monkeypatch.setattr(checking, "simulate", answer)
    return asked


def kept(folder):
    return list((folder / "checked").glob("*.json"))


@pytest.mark.slow
def test_the_same_check_is_made_once(design, simulated, own_cache):
    first, second = design.checked().check, design.checked().check
    assert simulated == ["amaranth"]
    assert (first.remembered, second.remembered) == (False, True)
    assert first.timing == second.timing
    assert (first.compared, first.engine) == (second.compared, second.engine)
    assert first.streams.keys() == second.streams.keys()
    for name, integers in first.tensors.items():
        np.testing.assert_array_equal(second.tensors[name], integers)
    assert len(kept(own_cache)) == 1
    assert sorted(path.name for path in own_cache.iterdir()) == ["checked", "verilog"]


@pytest.mark.slow
def test_other_frames_plans_weights_and_versions_are_checked_anew(design, simulated, tmp_path, monkeypatch):
    design.checked()
    design.checked(design.samples[1:2])
    other = hwgen.compile(design.front.model, calibration=tiny.frames(), multipliers=5)
    other.checked()
    weight = np.ones((4, 1, 3, 3), np.float32)
    tiny.save(tmp_path / "o.onnx", weight=weight)
    hwgen.compile(tmp_path / "o.onnx", calibration=tiny.frames(), multipliers=10).checked()
    monkeypatch.setattr(checking, "version", lambda package: "other")
    design.checked()
    assert len(simulated) == 5


DAMAGES = (
    "", "{", "[]", "null", '{"engine": "x"}', '{"engine": "x", "taken": [1, 2], "done": [3]}',
    '{"engine": "x", "taken": null, "done": 3}', '{"engine": "x", "taken": ["a"], "done": [3]}',
)  # fmt: skip


@pytest.mark.slow
def test_what_is_damaged_is_checked_anew_and_mended(design, simulated, own_cache, subtests):
    design.checked()
    (file,) = kept(own_cache)
    whole = file.read_text()
    for times, damage in enumerate(DAMAGES, 2):
        with subtests.test(damage):
            file.write_text(damage)
            assert not design.checked().check.remembered
            assert len(simulated) == times
            assert json.loads(file.read_text()) == json.loads(whole)


@pytest.mark.slow
def test_a_wrong_time_is_no_less_wrong_when_it_is_remembered(design, own_cache):
    design.checked()
    (file,) = kept(own_cache)
    file.write_text(json.dumps({**json.loads(file.read_text()), "done": [1]}))
    with pytest.raises(RuntimeError, match=f"cycles, predicted {design.schedule.latency}"):
        design.checked()


@pytest.mark.slow
def test_a_failed_check_is_not_remembered(design, own_cache):
    class Wrong:
        latency, interval = design.schedule.latency + 1, design.schedule.interval

    vars(design)["schedule"] = Wrong()
    with pytest.raises(RuntimeError, match=f"latency is {Wrong.latency - 1} cycles, predicted {Wrong.latency}"):
        design.checked()
    assert not kept(own_cache)


@pytest.mark.slow
def test_without_a_place_to_keep_anything_it_is_checked_every_time(design, simulated, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "file"))
    assert not design.checked().check.remembered
    assert not design.checked().check.remembered
    assert len(simulated) == 2


@pytest.mark.parametrize("available", [True, False])
def test_large_designs_are_checked_by_the_compiled_engine_where_there_is_one(design, monkeypatch, available):
    assert checking.checker(design, 1) == "amaranth"
    monkeypatch.setattr(checking, "COMPILED_FROM", 0)
    monkeypatch.setattr(verilator, "verilator", lambda: True)
    monkeypatch.setattr(verilator, "compiler", lambda: ("c++",) if available else verilator.call(["none"]))
    assert checking.checker(design, 1) == ("compiled" if available else "amaranth")


@pytest.mark.slow
def test_a_compiler_that_does_not_work_is_done_without(design, simulated, monkeypatch):
    monkeypatch.setattr(checking, "COMPILED_FROM", 0)
    monkeypatch.setattr(verilator, "available", lambda: True)
    monkeypatch.setattr("hwgen.simulate.verilated.shared_object", lambda *given: verilator.call(["no_such_compiler"]))
    assert design.checked().check.engine == "amaranth"
    assert simulated == ["compiled", "amaranth"]


@pytest.mark.slow
def test_build_says_that_the_check_is_remembered_and_writes_the_same(tmp_path):
    tiny.save(tmp_path / "tiny.onnx")
    said, manifests = [], []
    for _ in range(2):
        done = run("build", "tiny.onnx", "--multipliers", "10", "-o", "net")
        assert done.exit_code == 0, done.output
        said.append("The check is remembered" in done.stdout)
        manifests.append((tmp_path / "net" / "manifest.json").read_bytes())
    assert said == [False, True]
    assert manifests[0] == manifests[1]


def test_the_cache_is_where_it_is_told_or_the_users_or_none(tmp_path, monkeypatch):
    assert cache.folder("kind") == tmp_path / "cache" / "kind"
    monkeypatch.delenv("HWGEN_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder("kind") == tmp_path / "xdg" / "hwgen" / "kind"
    assert cache.writable_folder("kind").is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    own = cache.writable_folder("kind")
    assert os.access(own, os.W_OK)
    assert cache.writable_folder("kind") == own
    shutil.rmtree(own)
