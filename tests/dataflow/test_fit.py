"""What a network takes of a device, as the command says it, and stages synthesised for themselves."""

import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from click.testing import CliRunner

from hwgen import flow
from hwgen.cli.main import cli
from hwgen.dataflow import stage_synth
from hwgen.dataflow.fit import by_layer, fit_table
from hwgen.dataflow.search.search import USUAL, Search, search
from hwgen.dataflow.stage_synth import count_stages, remembered
from hwgen.device.needs import Needs
from hwgen.device.targets import DEVICES, device
from hwgen.graph.errors import FitError
from tests import tiny
from tests.dataflow.nets import small
from tests.shared import EXAMPLES

ECP5 = device("lfe5u-25f")
OPTIONS = ["--multipliers", "10", "--calibration", "frames.npy", "--quiet"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())
    return tmp_path


@pytest.mark.parametrize("target", DEVICES, ids=lambda target: target.name)
def test_every_device_has_an_estimate(target):
    found = fit_table(lenet5_plan(), target)
    assert min(found.total.luts, found.total.ffs, found.total.dsps, found.total.brams) > 0
    assert found.fits == (not found.problems)


@lru_cache
def lenet5_plan():
    return search(flow.quantised(EXAMPLES / "lenet5_int8.onnx").network, multipliers=148)


@pytest.fixture
def plan():
    found = Search(small(), device(USUAL), 12, bound=False)
    return found.plan(found.picks())


def fit(*arguments):
    return CliRunner().invoke(cli, ["fit", "tiny.onnx", *OPTIONS, *map(str, arguments)])


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """Synthesis that counts how often it is asked, with a cache of its own."""
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    asked = []

    def synthesise(text, top, target, **options):
        asked.append(text)
        return {"LUT4": len(text) % 97, "TRELLIS_FF": 3}

    monkeypatch.setattr(stage_synth, "synthesise", synthesise)
    return asked


@pytest.mark.slow
def test_every_kind_of_stage_is_synthesised_once_and_remembered(plan, counting):
    first = count_stages(plan, ECP5, jobs=2)
    assert len(counting) == len(set(counting)) == first.kinds <= len(plan.stages)
    assert set(first.counted) == set(first.estimated) == {stage.name for stage in plan.stages}
    assert first.total.ffs == 3 * len(plan.stages)
    assert count_stages(plan, ECP5).counted == first.counted
    assert len(counting) == first.kinds


def test_a_cache_that_is_damaged_or_cannot_be_written_does_no_harm(counting, tmp_path):
    needs = remembered("module top(); endmodule", "top", ECP5)
    (kept,) = (tmp_path / "cache" / "synthesised").glob("*.json")
    kept.write_text("{", encoding="utf-8")
    assert remembered("module top(); endmodule", "top", ECP5) == needs
    assert len(counting) == 2
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "file"))
        assert remembered("module top(); endmodule", "top", ECP5) == needs


def test_layers_take_what_their_stages_take(plan):
    table = fit_table(plan, ECP5)
    layers = by_layer(plan, table.stages)
    assert list(layers) == [layer.name for layer in plan.layers]
    assert sum(layers.values(), Needs()) == table.total


@pytest.mark.slow
def test_both_counts_stand_side_by_side_for_every_layer(folder):
    done = fit("--synth", "--device", "lfe5u-25f")
    assert done.exit_code == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    luts = [int(rows[layer][0].replace(",", "")) for layer in ("conv", "pool", "dense")]
    (total,) = (line for line in done.stdout.splitlines() if line.startswith("LUT4  "))
    assert sum(luts) == int(total.split()[2].replace(",", ""))
    assert all("not" not in rows[layer] for layer in ("conv", "pool", "dense"))
    (multipliers,) = (line for line in done.stdout.splitlines() if line.startswith("18x18 multipliers"))
    assert multipliers.split()[4] == "+0%"


def test_what_fits_says_how_fast_it_is():
    done = fit("--device", "lfe5u-25f", "--clock", "50")
    found = re.search(
        r"^Throughput   ([\d,]+) cycles per frame, ([\d,]+) frames per second at 50 MHz, with ", done.stdout, re.M
    )
    cycles, rate = (int(number.replace(",", "")) for number in found.groups())
    assert rate == round(50e6 / cycles)


def test_what_does_not_fit_has_the_fastest_beside_it_that_does():
    CliRunner().invoke(cli, ["build", "tiny.onnx", *OPTIONS])
    done = fit("--plan", "build/tiny/plan.json", "--device", "ice40up5k")
    assert done.exit_code == 2
    assert re.search(r"^error: ice40up5k has 8 16x16 multipliers and the design needs 10, 2 more: ", done.stderr, re.M)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("Fits "))
    found = re.search(r"with (\d+) multipliers(?:, (\d+) of them made of LUTs)?: leave out --multipliers", line)
    assert 1 <= int(found[1]) - int(found[2] or 0) <= 8


def test_a_device_without_synthesis_is_refused_before_anything_is_done():
    done = fit("--synth", "--device", "10ax115")
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: Yosys has no synthesis for Intel Arria 10 (10ax115): leave out --synth")


def test_nothing_that_fits_names_what_the_smallest_lacks(monkeypatch):
    monkeypatch.setattr(
        "hwgen.flow.compilation.find_device", lambda name: replace(device(name), name="mite", luts=300, brams=1)
    )
    done = fit("--device", "ice40up5k")
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert re.match(r"error: device mite is too small: the design needs .*; take a larger --device \(", line)


def test_an_unknown_device_is_one_line():
    done = fit("--device", "xc7z02")
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: device 'xc7z02' is not known; did you mean xc7z020 or ")


@pytest.mark.slow
def test_a_failed_stage_is_said(plan, monkeypatch, tmp_path):
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(FitError, match="synthesis of top for lfe5u-25f: Yosys took over 0 s"):
        count_stages(plan, ECP5, timeout=0.01)
