"""The command line as a user meets it: results, errors in words, statuses, and nothing left behind."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

from hwgen.cli.main import cli
from hwgen.device.targets import device
from hwgen.graph.quantize.calibrate import METHODS
from hwgen.graph.quantize.recipe import Recipe
from tests import tiny
from tests.shared import arrays

OPTIONS = ["--multipliers", "10", "--calibration", "frames.npy"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own, with a model and frames."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def ok(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def errors(*arguments):
    """The error lines of a command that must end with status 2 and leave nothing behind."""
    before = sorted(Path.cwd().rglob("*"))
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert sorted(Path.cwd().rglob("*")) == before
    return [line.removeprefix("error: ") for line in result.stderr.splitlines() if line.startswith("error: ")]


def hwgen(*arguments, cwd=None, **environment):
    """A real process, without YOSYS in its environment."""
    inherited = {name: value for name, value in os.environ.items() if name != "YOSYS"}
    command = [sys.executable, "-m", "hwgen", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=inherited | environment, timeout=120, check=False
    )


# What works


def test_choices_of_the_quantiser_are_those_of_the_recipe():
    given = {option.name: option for option in cli.commands["build"].params}
    recipe = Recipe()
    assert list(given["ranges"].type.choices) == list(METHODS)
    for name in ("ranges", "equalize", "correct_bias"):
        assert given[name].default == getattr(recipe, name)
    chosen_by_hwgen = {"kept", "random_frames"}  # from hardware that is there already; by the command
    assert {field.name for field in fields(Recipe)} - chosen_by_hwgen <= set(given)


def test_options_of_the_quantiser_reach_the_network():
    plain = ["--ranges", "minmax", "--no-equalize", "--no-correct-bias"]
    for number, options in enumerate(([], plain, ["--wide", "auto"])):
        ok("simulate", "tiny.onnx", *OPTIONS, *options, "--input", "frames.npy", "--save", f"{number}.npz")
    outputs = [arrays(Path(f"{number}.npz"))["outputs"] for number in range(3)]
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_build_writes_everything_and_prints_the_report(folder):
    result = ok("build", "tiny.onnx", *OPTIONS)
    written = sorted(file.name for file in (folder / "build" / "tiny").iterdir())
    files = "expected.hex input.hex manifest.json plan.json report.html report.json report.txt schedule.svg"
    assert written == [*files.split(), "tiny.v", "tiny_qdq.onnx", "tiny_tb.v"]
    assert "Bottleneck " in result.stdout
    assert "RTL equals golden in all 323 integers of 3 layers" in result.stdout
    assert result.stdout.rstrip().endswith("Written to build/tiny")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert result.stderr.splitlines()[:2] == ["reading the model", "quantising"]
    assert [path.name for path in (folder / "build").iterdir()] == ["tiny"]


@pytest.mark.slow
def test_build_again_gives_the_same_bytes(folder, monkeypatch):
    ok("build", "tiny.onnx", *OPTIONS)
    first = {file.name: file.read_bytes() for file in (folder / "build/tiny").iterdir()}
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(folder / "empty"))  # nothing is remembered
    ok("build", "tiny.onnx", *OPTIONS)
    assert {file.name: file.read_bytes() for file in (folder / "build/tiny").iterdir()} == first


@pytest.mark.slow
def test_an_edited_plan_is_taken(folder):
    ok("build", "tiny.onnx", *OPTIONS, "-o", "one")
    plan = json.loads((folder / "one/plan.json").read_text())
    plan["layers"][1]["queues"] = [16]
    (folder / "mine.json").write_text(json.dumps(plan))
    ok("build", "tiny.onnx", *OPTIONS, "-o", "two", "--plan", "mine.json")
    assert json.loads((folder / "two/plan.json").read_text()) == plan


def test_simulate_prints_an_answer_for_every_frame(folder):
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(folder / "grey.png")
    both = ok("simulate", "tiny.onnx", *OPTIONS, "--input", "grey.png", "--input", "frames.npy", "--engine", "amaranth",
              "--frames", 3, "--save", "result.npz")  # fmt: skip
    lines = both.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["grey.png", "frames.npy[0]", "frames.npy[1]"]
    assert re.search(r"Latency +([\d,]+) cycles, predicted \1\n", both.stdout)
    assert re.search(r"Throughput +[\d,]+ cycles per frame", both.stdout)
    assert "RTL equals golden in all 969 integers of 3 layers." in lines
    golden = ok("simulate", "tiny.onnx", *OPTIONS, "--input", "grey.png", "--input", "frames.npy", "--quiet")
    assert golden.stdout.splitlines()[:5] == lines[:5]
    assert golden.stderr == ""
    saved = arrays(folder / "result.npz")
    assert saved["outputs"].shape == (3, 3)
    assert saved["classes"].tolist() == saved["outputs"].argmax(axis=1).tolist()


def test_simulate_counts_what_is_right(folder):
    np.savez(folder / "set.npz", x=tiny.frames(30), y=np.zeros(30, np.int64))
    result = ok("simulate", "tiny.onnx", *OPTIONS, "--input", "set.npz:x", "--labels", "set.npz:y")
    assert "... and 10 frames more; --save FILE.npz keeps all results" in result.stdout
    assert re.search(r"Right: \d+ of 30 \(\d+\.\d\d%\)", result.stdout)


def test_frames_out_of_range_are_noticed(folder):
    np.save(folder / "wrong.npy", tiny.frames() * 255)
    result = ok("simulate", "tiny.onnx", *OPTIONS, "--input", "wrong.npy")
    assert re.search(r"^warning: the frames hold numbers from .* give --scale, --mean and --std", result.stderr, re.M)


def test_verilog_writes_one_file_or_prints_it(folder):
    ok("verilog", "tiny.onnx", *OPTIONS)
    assert [path.name for path in (folder / "build/tiny").iterdir()] == ["tiny.v"]
    printed = ok("verilog", "tiny.onnx", *OPTIONS, "--output", "-")
    assert printed.stdout == (folder / "build/tiny/tiny.v").read_text()
    assert "module tiny(" in printed.stdout


def test_fit_says_what_is_used_and_free():
    result = ok("fit", "tiny.onnx", *OPTIONS)
    rows = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines() if "%" in line}
    assert set(rows) >= {"LUT4", "flip-flops", "18x18 multipliers", "block RAM (18 kbit)"}
    for words in rows.values():
        used, available, free = (int(word.replace(",", "")) for word in words[-4:-1])
        assert used + free == available


def test_a_small_device_gets_a_design_that_fits():
    assert "ice40up5k, estimated" in ok("fit", "tiny.onnx", *OPTIONS, "--device", "ice40up5k").stdout


def test_fit_says_by_how_much_it_does_not_fit():
    ok("build", "tiny.onnx", *OPTIONS)
    plan = ["--plan", "build/tiny/plan.json"]
    result = run("fit", "tiny.onnx", *OPTIONS, *plan, "--device", "ice40up5k")
    assert result.exit_code == 2
    assert re.search(r"^error: ice40up5k has [\d,]+ .* and the design needs [\d,]+, [\d,]+ more: ", result.stderr, re.M)
    assert "ice40up5k, estimated" in result.stdout


def test_latency_is_asked_for_alone():
    ok("fit", "tiny.onnx", *OPTIONS, "--latency")
    assert errors("fit", "tiny.onnx", *OPTIONS, "--latency", "--fps", "10") == [
        "--latency looks for the shortest way of one frame, --fps for a rate; leave out one of them"
    ]
    assert errors("explore", "tiny.onnx", *OPTIONS, "--latency") == [
        "explore tries many budgets of multipliers and takes no --latency; leave it out"
    ]


def test_explore_prints_the_front_and_draws_it(folder):
    done = ok("explore", "tiny.onnx", *OPTIONS, "--points", "4", "--picture", "front.svg")
    assert "bottleneck" in done.stdout
    assert "Drawn to front.svg" in done.stdout
    assert (folder / "front.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_a_picture_of_another_kind_is_refused():
    assert errors("explore", "tiny.onnx", *OPTIONS, "--picture", "front.txt") == [
        "--picture 'front.txt': the ending must be one of .svg, .png, .pdf"
    ]


def test_explore_lists_what_fits_the_device_and_says_so_where_nothing_does(folder):
    done = ok("explore", "tiny.onnx", *OPTIONS[2:], "--device", "ice40up5k", "--points", "3", "--picture", "front.svg")
    assert max(int(line.split()[0]) for line in done.stdout.splitlines() if line[:1].isdigit()) <= 8
    (line,) = errors("explore", "tiny.onnx", *OPTIONS[2:], "--device", "lfe5u-25f", "--multipliers", "1")
    assert line == "the network needs at least 2 multipliers (limit 1); raise --multipliers"


def test_explore_refuses_what_it_would_not_heed():
    message = "explore tries many budgets of multipliers and takes no --fps; leave it out"
    assert errors("explore", "tiny.onnx", *OPTIONS, "--fps", "10") == [message]


@pytest.mark.slow
def test_fit_with_synthesis_puts_both_counts_side_by_side():
    result = ok("fit", "tiny.onnx", *OPTIONS, "--synth")
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("18x18 multipliers"))
    estimated, counted, off = line.split()[2:5]
    assert (estimated, off) == (counted, "+0%")


def test_check_of_a_good_model_says_so():
    result = ok("check", "tiny.onnx")
    assert "ranges are taken from 2 random frames" in result.stderr  # few: accuracy is not looked at
    proved = "Nothing is in the way of tiny: its integers are proved exact."
    assert f"{proved} The smallest known device that takes it is " in result.stdout
    assert f"{proved} It fits lfe5u-85f." in ok("check", "tiny.onnx", "--device", "lfe5u-85f").stdout
    assert "warning: no calibration data" in result.stderr


# What is refused


def damaged(kind):
    """A file named bad.onnx with something wrong in it."""
    path = Path("bad.onnx")
    if kind == "not ONNX":
        path.write_text("hello")
    elif kind == "truncated":
        path.write_bytes(Path("tiny.onnx").read_bytes()[:-400])
    elif kind == "unknown operator":
        node = onnx.helper.make_node("Hardmax", ["scores"], ["e"], name="winner")
        layer = onnx.helper.make_node("Gemm", ["e", "dense_weight"], ["g"], name="layer")
        tiny.save(path, nodes=[node, layer])
    elif kind == "dynamic shape":
        tiny.save(path, shape=["N", 1, "height", "width"])
    elif kind == "NaN weight":
        weight = np.ones((4, 1, 3, 3), np.float32)
        weight[2, 0, 1, 1] = np.nan
        tiny.save(path, weight=weight)
    return path


@pytest.mark.parametrize("command", ["build", "check", "verilog", "fit"])
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", ["cannot read 'bad.onnx': No such file or directory; check the path"]),
        ("not ONNX", ["'bad.onnx' is not an ONNX file; give a model exported to .onnx"]),
        ("truncated", ["'bad.onnx' is a truncated or corrupted ONNX file; copy or export it again"]),
        ("unknown operator", ["node 'winner': operator Hardmax is not supported", "supported operators are "]),
        (
            "dynamic shape",
            [
                "input 'image' has the dynamic shape N,1,height,width; "
                "give numbers with --input-shape image=1,1,height,width"
            ],
        ),
        ("NaN weight", ["constant 'conv_weight' holds 1 values that are NaN or infinite, the first at [2, 0, 1, 1]; "]),
    ],
)
def test_a_bad_model_ends_in_one_clear_line_each(command, kind, words):
    damaged(kind)
    lines = errors(command, "bad.onnx")
    assert len(lines) == len(words)
    for line, begin in zip(lines, words, strict=True):
        assert line.startswith(begin)


def test_a_wrong_image_size_is_refused_with_a_remedy(folder):
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(folder / "small.png")
    said = (
        "'small.png' is 7x5 pixels; the network takes 8x8: give pictures of that size, or --resize to have them scaled"
    )
    assert errors("simulate", "tiny.onnx", *OPTIONS, "--input", "small.png") == [said]
    assert errors("build", "tiny.onnx", "--calibration", "small.png") == [said]
    ok("simulate", "tiny.onnx", *OPTIONS, "--input", "small.png", "--resize")


def test_a_dynamic_shape_is_set_as_told():
    damaged("dynamic shape")
    ok("check", "bad.onnx", "--input-shape", "image=1,1,8,8")
    (line,) = errors("check", "bad.onnx", "--input-shape", "picture=1,1,8,8")
    assert line.startswith("no input is named 'picture'; the model has 'image'")


def test_what_is_left_to_the_host_is_said(folder):
    tiny.save(folder / "tail.onnx", nodes=[onnx.helper.make_node("Exp", ["scores"], ["e"], name="power")])
    said = "Left to the host: 1 node from 'scores' to 'e' (Exp); `build` writes tail.onnx"
    assert said in ok("check", "tail.onnx", *OPTIONS).stdout
    result = run("check", "tail.onnx", "--multipliers", "1", "--calibration", "frames.npy")
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
def test_the_network_ends_where_it_is_told_to(folder):
    ok("build", "tiny.onnx", *OPTIONS, "--outputs", "p")
    report = json.loads((folder / "build" / "tiny" / "report.json").read_text())
    assert [(output["name"], output["shape"]) for output in report["network"]["outputs"]] == [("p", [4, 4, 4])]
    assert report["network"]["tail"] == "2 nodes from 'p' to 'scores' (Flatten, Gemm)"
    tail = onnx.load(folder / "build" / "tiny" / "tail.onnx")
    assert [node.op_type for node in tail.graph.node] == ["Flatten", "Gemm"]
    assert [dim.dim_param or dim.dim_value for dim in tail.graph.input[0].type.tensor_type.shape.dim] == ["N", 4, 4, 4]
    lines = errors("check", "tiny.onnx", "--outputs", "scroes,image")
    assert lines[0] == "--outputs scroes: the model computes no tensor of this name; near are 'scores'"
    assert lines[1].startswith("--outputs image: the model computes no tensor of this name; near are ")


def test_several_outputs_are_simulated_and_kept(folder):
    result = ok(
        "simulate", "tiny.onnx", "--input", "frames.npy", *OPTIONS, "--outputs", "p,scores", "--save", "all.npz"
    )
    assert "4x4x4, 3" in result.stdout
    saved = arrays(folder / "all.npz")
    assert {name: values.shape for name, values in saved.items() if "/" not in name} == {
        "p": (8, 4, 4, 4),
        "scores": (8, 3),
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build"], "Missing argument 'MODEL'. (see "),
        (["build", "tiny.onnx", "--multiplier", "3"], "No such option '--multiplier'. Did you mean '--multipliers'?"),
        (["biuld", "tiny.onnx"], "No such command 'biuld'. Did you mean 'build'?"),
        (["build", "tiny.onnx", "--multipliers", "0"], "Invalid value for '--multipliers': 0 is not in the range x>=1"),
        (["build", "tiny.onnx", "--clock", "-5"], "Invalid value for '--clock': -5.0 is not in the range x>0"),
        (
            ["build", "tiny.onnx", "--input-shape", "1,1,8,8"],
            "Invalid value for '--input-shape': '1,1,8,8' is not of the form NAME=1,1,28,28, batch first.",
        ),
        (["build", "tiny.onnx", "--mean", "a"], "Invalid value for '--mean': 'a' is not a number"),
        (["build", "tiny.onnx", "--std", "0"], "a standard deviation of 0 divides by zero"),
        (["simulate", "tiny.onnx"], "Missing option '--input'."),
        (["simulate", "tiny.onnx", "--input", "frames.npy", "--engine", "x"], "Invalid value for '--engine': 'x' is"),
        (["simulate", "tiny.onnx", "--input", "none.png"], "cannot read 'none.png': there is no such file"),
        (["build", "tiny.onnx", "--calibration", "."], "the folder '.' holds "),
        (["build", "tiny.onnx", "--plan", "tiny.onnx"], "cannot read the plan 'tiny.onnx': it is not text"),
        (["build", "tiny.onnx", "--output", "tiny.onnx"], "tiny.onnx is a file: name a folder"),
        (["build", "tiny.onnx", "--output", "."], ". has files that are not from a build"),
        (["verilog", "tiny.onnx", "--output", "tiny.onnx"], "cannot make "),
        (["build", "tiny.onnx", "--multipliers", "1"], "the network needs at least "),
        (["build", "tiny.onnx", "--device", "lfe5u-58f"], "device 'lfe5u-58f' is not known; did you mean lfe5u-85f"),
    ],
)
def test_bad_arguments(arguments, words, folder):
    if "." in arguments[2:] and "--calibration" in arguments:
        (folder / "frames.npy").unlink()
    (line,) = errors(*arguments)
    assert line.startswith(words)


def test_check_reports_what_is_wrong_with_model_and_arguments_together():
    damaged("NaN weight")
    lines = errors("check", "bad.onnx", "--device", "none")
    assert len(lines) == 2
    assert "NaN" in lines[0]
    assert "'none'" in lines[1]


def test_check_sees_without_sizing_that_weights_are_too_many(monkeypatch):
    mite = replace(device("lfe5u-85f"), name="mite", luts=5, brams=0, dsps=0)
    monkeypatch.setattr("hwgen.cli.commands_check.find_device", lambda name: mite)
    (line,) = errors("check", "tiny.onnx", "--device", "lfe5u-85f")
    assert re.match(r"device mite is too small: the weights take .* bits, and .* hold 80\. The smallest ", line)


# Real processes


def test_help_is_quick_and_enough():
    begin = time.monotonic()
    result = hwgen("--help")
    assert time.monotonic() - begin < 2  # 0.1 s when the machine is idle
    assert "python -m hwgen build" in result.stdout
    heavy = ("numpy", "onnx", "amaranth", "rich", "PIL")
    loaded = f"import sys, hwgen.cli.main; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "[]\n"
    for command in cli.commands:
        text = CliRunner().invoke(cli, [command, "--help"], prog_name="python -m hwgen").stdout
        assert f"Usage: python -m hwgen {command}" in text
        assert f"python -m hwgen {command}" in text.split("\n", 1)[1], "no example"


@pytest.mark.slow
def test_build_from_another_folder_without_yosys_in_the_environment(folder):
    elsewhere = folder / "else where"
    elsewhere.mkdir()
    result = hwgen("build", folder / "tiny.onnx", "--multipliers", 10, cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    assert (elsewhere / "build/tiny/tiny.v").is_file()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["build"]
    assert "warning: no calibration data" in result.stderr


@pytest.mark.slow
def test_errors_of_a_real_process(folder):
    damaged("truncated")
    result = hwgen("build", "bad.onnx", cwd=folder)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "reading the model",
        "error: 'bad.onnx' is a truncated or corrupted ONNX file; copy or export it again",
    ]


@pytest.mark.slow
def test_a_closed_pipe_is_no_fault(folder):
    command = f"{sys.executable} -m hwgen verilog tiny.onnx --multipliers 10 --calibration frames.npy -q -o - | head -1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=folder, timeout=60, check=True)
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


def test_version():
    assert re.fullmatch(r"hwgen, version \d+\.\d+\.\d+\n", hwgen("--version").stdout)


def test_a_design_without_dram_takes_no_memory():
    given = ("simulate", "tiny.onnx", *OPTIONS, "--input", "frames.npy", "--frames", "1")
    (line,) = errors(*given, "--engine", "amaranth", "--memory", "random")
    assert line.startswith("the design reads nothing from DRAM")
    (line,) = errors(*given, "--memory", "random")
    assert "'golden' has no memory" in line
    (line,) = errors(*given, "--engine", "amaranth", "--memory-seed", "2")
    assert "--memory-seed is for --memory random or broken" in line
