"""Two builds side by side."""

import json
import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from hwgen.cli.main import cli
from hwgen.report.compare import Build, compare
from tests import tiny

BUDGETS = {"slow": 10, "fast": 30}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two builds of a tiny model."""
    place = tmp_path_factory.mktemp("builds")
    tiny.save(place / "tiny.onnx")
    np.save(place / "frames.npy", tiny.frames())
    for name, budget in BUDGETS.items():
        options = ["--multipliers", budget, "--calibration", place / "frames.npy", "-o", place / name]
        result = CliRunner().invoke(cli, ["build", *map(str, [place / "tiny.onnx", *options])])
        assert result.exit_code == 0, result.stderr
    return place


@pytest.fixture
def builds(made, tmp_path, monkeypatch):
    """The same in the current folder, to be spoilt."""
    monkeypatch.chdir(tmp_path)
    for name in BUDGETS:
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, ["compare", *arguments])


def edit(file, change):
    data = json.loads(Path(file).read_text())
    change(data)
    Path(file).write_text(json.dumps(data))


@pytest.mark.slow
def test_speed_resources_and_layers_stand_side_by_side(builds):
    result = run("slow", "fast")
    assert result.exit_code == 0, result.stderr
    slow, fast = (json.loads((builds / name / "report.json").read_text()) for name in BUDGETS)
    cycles = [build["speed"]["cycles_per_frame"] for build in (slow, fast)]
    assert cycles[1] < cycles[0]
    assert re.search(rf"^cycles per frame +{cycles[0]} +{cycles[1]} +-{cycles[0] - cycles[1]} \(-", result.stdout, re.M)
    assert re.search(r"^multipliers +10 +\d+ +\+\d+ \(\+", result.stdout, re.M)
    for name in ("latency, us", "frames per second", "LUT4", "flip-flops", "block RAM"):
        assert re.search(rf"^{name}", result.stdout, re.M), name
    before, after = (json.loads((builds / name / "plan.json").read_text())["layers"] for name in BUDGETS)
    changed = [old["name"] for old, new in zip(before, after, strict=True) if old != new]
    assert changed
    shown = compare(Build.read("slow"), Build.read("fast"))["layers"]
    assert [layer["name"] for layer in shown if layer["changes"]] == changed
    for old, new in zip(before, after, strict=True):
        for field, value in old["settings"].items():
            told = f"{field} {json.dumps(value)} -> " if not isinstance(value, str) else f"{field} {value} -> "
            assert (told in " ".join(result.stdout.split())) or value == new["settings"][field]


def test_a_build_is_like_itself(builds):
    result = run("slow", "slow")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.rstrip().endswith("All layers are laid out alike.")
    assert "setting" not in result.stdout
    found = compare(Build.read("slow"), Build.read("slow"))
    assert found["layers"] == []
    assert all(first == second for first, second in found["numbers"].values())


def test_settings_and_layers_of_other_networks(builds):
    def other(data):
        data["network"]["name"] = "other"
        data["speed"]["clock_hz"] = 5e7
        data["layers"][0]["name"] = "first"

    edit("fast/report.json", other)
    edit("fast/plan.json", lambda data: data["layers"][0].update(name="first"))
    text = run("slow", "fast").stdout
    assert re.search(r"^network +tiny +other$", text, re.M)
    assert re.search(r"^clock +100 MHz +50 MHz$", text, re.M)
    assert re.search(r"^conv .* only in A$", text, re.M)
    assert re.search(r"^first .* only in B$", text, re.M)


def test_what_was_asked_for_is_recorded_and_compared(builds):
    asked = json.loads(Path("slow/report.json").read_text())["settings"]
    assert (asked["multipliers"], asked["calibration"], asked["ranges"]) == (10, ["frames.npy"], "mse")
    assert (asked["device"], asked["clock_mhz"], asked["wide"], asked["plan"]) == (None, None, [], None)
    edit("fast/report.json", lambda data: data["settings"].update(wide=["auto"], latency=True))
    found = compare(Build.read("slow"), Build.read("fast"))["settings"]
    assert found == {"multipliers": [10, 30], "wide": [[], ["auto"]], "latency": [False, True]}
    text = run("slow", "fast").stdout
    assert re.search(r"^multipliers +10 +30$", text, re.M)
    assert re.search(r'^wide +\[\] +\["auto"\]$', text, re.M)
    edit("slow/report.json", lambda data: data.pop("settings"))  # of an earlier version
    assert compare(Build.read("slow"), Build.read("fast"))["settings"]["multipliers"] == [None, 30]


def test_what_a_file_of_settings_decides_is_recorded_too(builds, made):
    Path("m").mkdir()
    shutil.copy(made / "tiny.onnx", "m")
    shutil.copy(made / "frames.npy", "m")
    Path("m/hwgen.toml").write_text('multipliers = 10\ncalibration = "frames.npy"\nclock = 50.0\nranges = "minmax"\n')
    result = CliRunner().invoke(cli, ["build", "m/tiny.onnx", "--clock", "40", "-o", "out"])
    assert result.exit_code == 0, result.stderr
    asked = json.loads(Path("out/report.json").read_text())["settings"]
    assert (asked["multipliers"], asked["clock_mhz"], asked["ranges"]) == (10, 40, "minmax")
    assert asked["calibration"] == ["frames.npy"]


@pytest.mark.parametrize("other", ["fast", "slow", "none"])
def test_json_is_what_was_found_and_as_the_schema_says(builds, other):
    schema = json.loads((files("hwgen") / "schemas/answers.json").read_text(encoding="utf-8"))
    found = json.loads(run("slow", other, "--json").stdout)
    Draft202012Validator({**schema, "$ref": "#/$defs/compare"}).validate(found)
    if other == "none":
        assert found["error"]["kind"] == "input"
    else:
        assert found == compare(Build.read("slow"), Build.read(other))


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("report.json", None, "fast: no build that can be compared: cannot read report.json: No such file"),
        ("plan.json", None, "fast: no build that can be compared: cannot read plan.json: No such file"),
        ("report.json", b"{", "fast/report.json: damaged (Expecting"),
        ("report.json", b"[]", "fast/report.json: damaged (list indices"),
        ("report.json", b"{}", "fast/report.json: damaged ('network' is missing)"),
        ("report.json", b"\xff", "fast/report.json: damaged ('utf-8' codec"),
        ("report.json", b"[" * 99999, "fast/report.json: damaged ("),
        ("plan.json", b'{"format": 3, "layers": [{"name": "a"}]}', "fast/plan.json: damaged ('unit' is missing)"),
        (
            "plan.json",
            b'{"format": 3, "layers": [{"name": "a", "unit": "mac", "queues": [], "settings": 1}]}',
            "fast/plan.json: damaged (",
        ),
        (
            "plan.json",
            b'{"format": 2, "layers": []}',
            "fast/plan.json: damaged (format 2 is not the 3 that this version",
        ),
        ("plan.json", b'{"format": 3, "layers": []}', "fast: report.json and plan.json do not have the same layers"),
    ],
)
def test_what_is_no_build_is_one_line(builds, file, text, words):
    path = builds / "fast" / file
    path.unlink() if text is None else path.write_bytes(text)
    result = run("slow", "fast")
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {words}")


@pytest.mark.parametrize("value", [None, "1", True, float("nan"), []])
def test_numbers_that_are_none_are_damage(builds, value):
    edit("fast/report.json", lambda data: data["speed"].update(cycles_per_frame=value))
    result = run("slow", "fast")
    assert result.exit_code == 2
    assert "fast/report.json: damaged (" in result.stderr
    assert "is no number); build it anew" in result.stderr


def test_both_folders_are_told_at_once():
    assert len(run("no", "nowhere").stderr.splitlines()) == 2
