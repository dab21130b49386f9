"""What is said of a design with layers in a loop: bytes from DRAM, cycles that wait for them, proofs of each layer."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

import hwgen
from hwgen.blocks.loop.programme import LoopFolding
from hwgen.cli.json_answers import fit_answer
from hwgen.dataflow.loops import looped
from hwgen.dataflow.schedule import schedule
from hwgen.graph.errors import InputError
from hwgen.projects import project_files
from hwgen.report.dram import dram_data
from tests import tiny

SCHEMA = json.loads((files("hwgen") / "schemas" / "answers.json").read_text(encoding="utf-8"))
FOLDING = LoopFolding(portion=4, outputs=4, lanes=2, positions=8, bus=8, latency=30, rate="1/2", places=256)


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    """All three layers in a loop, as an edited plan has them."""
    folder = tmp_path_factory.mktemp("looped")
    path = tiny.save(folder / "tiny.onnx")
    streaming = hwgen.compile(path, calibration=tiny.frames(), multipliers=10)
    (folder / "plan.json").write_text(looped(streaming.plan, "conv", "dense", FOLDING).to_json(), encoding="utf-8")
    return hwgen.compile(path, calibration=tiny.frames(), plan=folder / "plan.json", device="xc7z020")


def test_bytes_are_those_of_the_programme(design):
    dram = design.report.data["dram"]
    (layer,) = design.plan.layers
    assert dram["bytes_per_frame"] == len(layer.unit.memory_image)
    assert dram["weight_bytes"] == 4 * 9 + 3 * 64
    assert dram["spill_bytes"] == 0
    assert dram["buffer_bytes"] == (64 + 64) * 4
    assert dram["loops"][0]["covers"] == ["conv", "pool", "dense"]
    assert dram["loops"][0]["busy"] == (64 * 36 + 192) / (16 * design.schedule.interval)


def test_a_slow_memory_is_told_from_one_that_is_never_late(design):
    dram = design.report.data["dram"]
    assert dram["cycles_per_frame"] == design.schedule.interval > dram["cycles_never_late"]
    assert dram["gbps_needed"] == dram["bytes_per_frame"] * design.clock.hz / dram["cycles_never_late"] / 1e9
    assert "Weights      are waited for: " in design.report.text()
    (layer,) = design.plan.layers
    folding = replace(layer.folding, latency=1, rate="8")
    quick = replace(design.plan, layers=(replace(layer, unit=replace(layer.unit, folding=folding)),))
    again = dram_data(quick, design.clock)["dram"]
    assert again["cycles_per_frame"] == again["cycles_never_late"] == schedule(quick).interval


def test_every_layer_in_the_loop_has_its_proof(design):
    conv, pool, dense = design.report.data["exactness"]
    assert [proof["layer"] for proof in (conv, pool, dense)] == ["conv", "pool", "dense"]
    assert conv["proved"] == dense["proved"] == "equal on both sides of every threshold of every channel"
    assert pool["form"] == "none"


def test_fit_says_it_in_numbers(design):
    answer = json.loads(json.dumps(fit_answer(design, None, design.fit, None)))
    assert list(Draft202012Validator(SCHEMA | {"$ref": "#/$defs/fit"}).iter_errors(answer)) == []
    assert answer["dram"] == design.report.data["dram"]


def test_the_page_says_it(design):
    page = design.report.html()
    assert "From DRAM" in page
    assert "iverilog" not in page


def test_a_project_is_refused(design):
    with pytest.raises(InputError, match="--project vivado: the design reads weights from DRAM, to which no project"):
        project_files(["vivado"], design)


def test_a_design_without_one_says_nothing_of_it(design, tmp_path):
    plain = hwgen.compile(tiny.save(tmp_path / "tiny.onnx"), calibration=tiny.frames(), multipliers=10)
    assert "dram" not in plain.report.data
    assert "DRAM" not in plain.report.text() + plain.report.html()
