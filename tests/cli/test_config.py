"""Settings from hwgen.toml: taken, told, beaten by the command line, and refused in words."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwgen.cli.main import cli
from tests import tiny


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a model and frames in ``m``."""
    monkeypatch.chdir(tmp_path)
    Path("m").mkdir()
    tiny.save(tmp_path / "m/tiny.onnx")
    np.save(tmp_path / "m/frames.npy", tiny.frames())
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def settings(text, file="m/hwgen.toml"):
    Path(file).write_text(text, encoding="utf-8")


def given(monkeypatch, command, *arguments):
    """The options with which a command is started, and what it says before."""
    seen = {}
    monkeypatch.setattr("hwgen.cli.preflight.preflight", lambda command, given: None)
    monkeypatch.setattr(cli.commands[command], "callback", lambda **options: seen.update(options))
    result = run(command, *arguments)
    assert result.exit_code == 0, result.stderr
    return seen, result.stderr


def refused(text, *arguments):
    settings(text)
    result = run("check", "m/tiny.onnx", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_options_come_from_the_file_beside_the_model(monkeypatch):
    settings(
        'multipliers = 10\ncalibration = "frames.npy"\nmean = [0.5, 1]\nstd = 2\nequalize = false\n'
        'outputs = ["a", "b"]\ninput-shape = ["x=1,1,8,8"]\nproject = ["vivado"]\nfps = 100\n'
        '[build]\noutput = "made"\nmultipliers = 12\n[simulate]\nengine = "compiled"\nmultipliers = 13\n'
    )
    seen, told = given(monkeypatch, "build", "m/tiny.onnx")
    assert seen["multipliers"] == 12
    assert seen["calibration"] == (str(Path("m/frames.npy")),)
    assert (seen["mean"], seen["std"], seen["equalize"]) == ((0.5, 1.0), (2.0,), False)
    assert (seen["outputs"], seen["input_shape"]) == (("a", "b"), (("x", (1, 1, 8, 8)),))
    assert (seen["output"], seen["projects"], seen["fps"]) == (Path("m/made"), ("vivado",), 100.0)
    assert seen["correct_bias"] is True
    assert told.startswith(f'from {Path("m/hwgen.toml")}: multipliers = 12, calibration = "frames.npy", ')
    assert "engine" not in told


def test_the_command_line_wins_and_the_rest_is_told(monkeypatch):
    settings('multipliers = 10\nranges = "minmax"\nlatency = true\n')
    seen, told = given(monkeypatch, "fit", "m/tiny.onnx", "--multipliers", 20)
    assert (seen["multipliers"], seen["ranges"], seen["latency"]) == (20, "minmax", True)
    assert told == f'from {Path("m/hwgen.toml")}: ranges = "minmax", latency = true\n'


def test_a_file_by_name_is_taken_instead(monkeypatch):
    settings("multipliers = 10\n")
    settings("multipliers = 11\n", "other.toml")
    seen, _ = given(monkeypatch, "check", "m/tiny.onnx", "--config", "other.toml")
    assert seen["multipliers"] == 11


def test_quiet_says_nothing(monkeypatch):
    settings("multipliers = 10\n")
    assert given(monkeypatch, "check", "m/tiny.onnx", "-q")[1] == ""


def test_a_required_option_may_stand_in_the_file(monkeypatch):
    settings('[simulate]\ninput = ["frames.npy", "/abs/x.npz:k"]\n')
    seen, _ = given(monkeypatch, "simulate", "m/tiny.onnx")
    assert seen["inputs"] == (str(Path("m/frames.npy")), str(Path("m") / "/abs/x.npz:k"))


def test_a_build_with_settings_is_that_with_options():
    settings('multipliers = 10\ncalibration = "frames.npy"\n')
    first = run("build", "m/tiny.onnx", "-o", "one")
    assert first.exit_code == 0, first.stderr
    Path("m/hwgen.toml").unlink()
    second = run("build", "m/tiny.onnx", "--multipliers", 10, "--calibration", "m/frames.npy", "-o", "two")
    assert second.exit_code == 0, second.stderr
    for file in ("plan.json", "tiny.v"):
        assert (Path("one") / file).read_bytes() == (Path("two") / file).read_bytes()
    assert json.loads(Path("one/report.json").read_text())["total"]["multipliers"] <= 10


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("multiplier = 1\n", "'multiplier' is no option; did you mean 'multipliers'?"),
        ("[build]\nengine = 'golden'\n", "'build.engine' is no option; keys are named as the options in --help"),
        ("[buidl]\nfps = 1\n", "'buidl' is no option"),
        ("debug = true\n", "'debug' is no option"),
        ("config = 'x'\n", "'config' is no option"),
        ("multipliers = '10'\n", "'multipliers': must be a whole number, not \"10\""),
        ("multipliers = 1.5\n", "'multipliers': must be a whole number, not 1.5"),
        ("multipliers = true\n", "'multipliers': must be a whole number, not true"),
        ("multipliers = 0\n", "'multipliers': 0 is not in the range x>=1."),
        ("multipliers = [1]\n", "'multipliers': must be a whole number, not [1]"),
        ("latency = 1\n", "'latency': must be true or false, not 1"),
        ("device = 2020-01-01\n", "'device': must be text, not \"2020-01-01\""),
        ("mean = ['a']\n", "'mean': must be a number, not \"a\""),
        ("ranges = 'most'\n", "'ranges': 'most' is not one of 'minmax', 'percentile', 'entropy', 'mse'."),
        ("input-shape = 'x'\n", "'input-shape': 'x' is not of the form"),
        ("[simulate]\njobs = 'x'\n", "'simulate.jobs': must be a whole number, not \"x\""),
        ("weights = {a = 1}\n", "'weights.a' is no option"),
        ("a = \n", "not TOML: Invalid value"),
        ("a = " + 5000 * "[", "not TOML: "),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_key(text, words):
    (line,) = refused(text)
    assert line.startswith(f"error: {Path('m/hwgen.toml')}: {words}")


def test_all_that_is_wrong_is_said_at_once():
    assert len(refused("a = 1\nmultipliers = 'x'\n[fit]\nb = 1\n")) == 3


def test_a_file_that_cannot_be_read_is_refused():
    assert refused("", "--config", "none.toml") == [
        "error: none.toml: cannot read the settings: No such file or directory"
    ]
    Path("bad.toml").write_bytes(b"a = '\xff'")
    (line,) = refused("", "--config", "bad.toml")
    assert line.startswith("error: bad.toml: not TOML: ")


def test_help_reads_no_settings():
    settings("nonsense")
    assert run("check", "m/tiny.onnx", "--help").exit_code == 0
