"""``--json``: one object on standard output and nothing else, as the schema that is shipped describes it."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from onnx import helper

from hwgen import flow
from hwgen.cli import commands_fit
from hwgen.cli.main import cli
from hwgen.dataflow.stage_synth import StageCounts
from hwgen.device.mapping import needs
from hwgen.device.targets import DEVICES
from hwgen.simulate import simulation as engines
from hwgen.simulate.differences import RTL, Difference
from tests import tiny

SCHEMA = json.loads((files("hwgen") / "schemas" / "answers.json").read_text(encoding="utf-8"))
OPTIONS = ["--multipliers", "10", "--calibration", "frames.npy"]
FRAMES = ["--input", "frames.npy", "--frames", "2"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own, with a model, frames and labels."""
    monkeypatch.chdir(tmp_path)
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())
    np.save(tmp_path / "labels.npy", np.zeros(8, np.int64))


def answer(command, *arguments, status=0):
    """The object that a command prints, which the schema takes; with its stderr."""
    result = CliRunner().invoke(cli, [command, *map(str, arguments), "--json"])
    assert result.exit_code == status, result.output
    found = json.loads(result.stdout)
    validator = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{command}"})
    assert [error.message for error in validator.iter_errors(found)] == []
    assert ("error" in found) == (status == 2)
    return found, result.stderr


def test_the_schema_is_one_and_every_command_of_it_has_the_option():
    Draft202012Validator.check_schema(SCHEMA)
    able = {name for name, command in cli.commands.items() if any("--json" in option.opts for option in command.params)}
    assert able == {"build", "fit", "check", "explore", "devices", "simulate", "compare"}
    assert able <= set(SCHEMA["$defs"])


def test_simulate_says_what_was_read_from_dram(monkeypatch):
    simulated = engines.simulate

    def reading(*given):
        return replace(simulated(*given), traffic=engines.Traffic(96, 98))

    monkeypatch.setattr("hwgen.flow.design.simulate", reading)
    found, _ = answer("simulate", "tiny.onnx", *OPTIONS, *FRAMES, "--engine", "amaranth", status=1)
    assert found["dram"] == {"read": 96, "planned": 98, "late": 0, "errors": 0, "equal": False}
    assert found["comparison"]["equal"]


def test_fit_says_what_the_design_takes_and_how_fast_it_is():
    found, stderr = answer("fit", "tiny.onnx", *OPTIONS, "--clock", "50")
    design = flow.compile("tiny.onnx", calibration=["frames.npy"], multipliers=10, clock=50e6)
    assert found["cycles_per_frame"] == design.schedule.interval
    assert found["latency_cycles"] == design.schedule.latency
    assert (found["multipliers"], found["clock_mhz"], found["fits"]) == (design.plan.multipliers, 50, True)
    assert found["frames_per_second"] == 50e6 / design.schedule.interval
    rows = {row.resource: {"used": row.used, "available": row.available} for row in design.fit.rows}
    assert (found["device"], found["resources"]) == (design.device.name, rows)
    assert [layer["node"] for layer in found["layers"]] == [layer.node for layer in design.network.layers]
    assert "cycles per frame" in stderr


def test_fit_has_the_answer_beside_the_error_where_it_does_not_fit():
    plan = flow.compile("tiny.onnx", calibration=["frames.npy"], multipliers=10).plan
    Path("plan.json").write_text(plan.to_json(), encoding="utf-8")
    options = [*OPTIONS, "--plan", "plan.json", "--device", "ice40up5k"]
    found, stderr = answer("fit", "tiny.onnx", *options, status=2)
    assert not found["fits"]
    fitting = flow.compile("tiny.onnx", calibration=["frames.npy"], device="ice40up5k")
    assert fitting.fit.fits
    assert found["fastest_that_fits"]["cycles_per_frame"] == fitting.schedule.interval
    assert any(row["used"] > row["available"] for row in found["resources"].values())
    assert found["error"]["kind"] == "fit"
    assert all(f"error: {line}" in stderr.splitlines() for line in found["error"]["lines"])


def test_fit_has_the_counted_beside_the_estimated(monkeypatch):
    """Counted are twice the estimates here, as synthesis takes long."""

    def counted(plan, device, *arguments):
        guessed = {stage.name: needs(stage.cost, device) for stage in plan.stages}
        return StageCounts(device, {name: need + need for name, need in guessed.items()}, guessed, len(guessed))

    monkeypatch.setattr(commands_fit, "count_stages", counted)
    found, _ = answer("fit", "tiny.onnx", *OPTIONS, "--synth")
    assert all(row["used"] == 2 * row["estimated"] for row in found["resources"].values())
    for layer in found["layers"]:
        assert layer["synthesised"] == {name: 2 * number for name, number in layer["hardware"].items()}


def test_check_names_the_smallest_device():
    found, _ = answer("check", "tiny.onnx", "--calibration", "frames.npy")
    assert (found["ok"], found["problems"], len(found["layers"])) == (True, [], 3)
    assert found["device"] in {device.name for device in DEVICES}
    found, _ = answer("check", "tiny.onnx", "--calibration", "frames.npy", "--device", "lfe5u-25f")
    assert found["device"] == "lfe5u-25f"


def test_check_lists_problems():
    tiny.save(Path("tiny.onnx"), nodes=[helper.make_node("Det", ["scores"], ["d"], name="strange")])
    found, _ = answer("check", "tiny.onnx", "--calibration", "frames.npy", "--device", "none", status=2)
    assert (found["ok"], found["device"]) == (False, None)
    assert found["problems"] == found["error"]["lines"]
    assert any("'none'" in line for line in found["problems"])


def test_build_names_every_file_and_what_was_checked():
    found, _ = answer("build", "tiny.onnx", *OPTIONS, "--output", "out")
    written = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    assert (found["folder"], set(found["files"])) == ("out", written)
    report = json.loads(Path("out/report.json").read_text(encoding="utf-8"))
    assert found["cycles_per_frame"] == report["speed"]["cycles_per_frame"]
    assert found["layers"] == report["layers"]
    assert report["check"].items() <= found["checked"].items()


@pytest.mark.parametrize("engine", ["golden", "schedule", "amaranth"])
def test_simulate_has_the_class_of_each_frame(engine):
    arguments = ["tiny.onnx", *OPTIONS, *FRAMES, "--labels", "labels.npy", "--engine", engine]
    found, _ = answer("simulate", *arguments)
    result = flow.compile("tiny.onnx", calibration=["frames.npy"]).simulate(tiny.frames()[:2])
    assert [each["class"] for each in found["answers"]] == result.classes.tolist()
    assert [each["score"] for each in found["answers"]] == result.scores.max(axis=1).tolist()
    assert found["right"] == (result.classes == 0).sum()
    assert (found["engine"], found["frames"]) == (engine, 2)
    hardware = {"equal": True, "integers": found["comparison"] and found["comparison"]["integers"], "differences": []}
    assert found["comparison"] == (hardware if engine == "amaranth" else None)
    assert (found["cycles_per_frame"] is None) == (engine == "golden")


def test_simulate_lists_differences(monkeypatch):
    """Status 1, and the object all the same."""
    wrong = Difference(RTL, "y", "conv", 0, *range(3), -3, 4, 1, 512)
    simulate = flow.Design.simulate

    def differing(*arguments):
        return engines.replace(simulate(*arguments), mismatches=(wrong,))

    monkeypatch.setattr(flow.Design, "simulate", differing)
    found, _ = answer("simulate", "tiny.onnx", *OPTIONS, *FRAMES, "--engine", "amaranth", status=1)
    assert not found["comparison"]["equal"]
    (difference,) = found["comparison"]["differences"]
    assert (difference["layer"], difference["golden"], difference["rtl"]) == ("conv", -3, 4)


def test_simulate_compares_with_onnx_runtime():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    found, _ = answer("simulate", "tiny.onnx", *OPTIONS, *FRAMES, "--against", "onnxruntime")
    assert found["onnxruntime"]["equal"]
    assert found["onnxruntime"]["integers"] > 0


def test_explore_has_every_point():
    found, stderr = answer("explore", "tiny.onnx", *OPTIONS, "--points", "3")
    assert len(found["points"]) == sum(row.split()[0].isdigit() for row in stderr.splitlines() if row.split())
    assert Path(found["picture"]).is_file()


def test_devices_have_all_numbers():
    found, _ = answer("devices", "--family", "ecp5")
    assert [each["name"] for each in found["devices"]] == [d.name for d in DEVICES if d.family.name == "ecp5"]
    assert len(answer("devices")[0]["devices"]) == len(DEVICES)


@pytest.mark.parametrize(
    ("command", "arguments", "kind"),
    [
        ("devices", ["--family", "none"], "input"),
        ("devices", ["--nothing"], "usage"),
        ("fit", ["tiny.onnx", "--fps", "fast"], "usage"),
        ("fit", ["frames.npy"], "model"),
        ("simulate", ["tiny.onnx", *OPTIONS, "--input", "none.npy"], "input"),
    ],
)
def test_an_error_is_an_object_too(command, arguments, kind):
    found, stderr = answer(command, *arguments, status=2)
    assert list(found) == ["error"]
    assert found["error"]["kind"] == kind
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert lines == [f"error: {line}" for line in found["error"]["lines"]]


def test_help_is_for_people():
    result = CliRunner().invoke(cli, ["fit", "--json", "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")
