"""What can be refused is refused before the model is quantised: in words, with status 2, by every command it is for."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from hwgen import flow
from hwgen.cli.main import cli
from hwgen.dataflow.plan_file import WEIGHTED
from hwgen.flow import front
from hwgen.frames.inputs import FrameSpec, Preparation
from hwgen.frames.load import CALIBRATION_FRAMES, count_frames, load_frames
from hwgen.graph.cut import weighted_layers
from hwgen.graph.errors import InputError
from hwgen.graph.onnx.model_input import model_input
from tests import tiny
from tests.blocks.random_models import lowered, random_model
from tests.shared import model

SIZED = ("build", "fit", "check", "verilog", "explore", "simulate")
WRITTEN = {"layers": [{"name": "conv", "unit": "mac", "settings": {}, "queues": [0]}], "format": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a model, frames that fit and some that do not, plans and labels; nothing may be quantised in it."""
    monkeypatch.chdir(tmp_path)
    tiny.save(tmp_path / "tiny.onnx")
    np.save("frames.npy", tiny.frames())
    np.save("wide.npy", np.zeros((2, 1, 8, 9), np.float32))
    np.savez("wide.npz", x=np.zeros((2, 1, 8, 9), np.float32))
    whole = Path("frames.npy").read_bytes()
    Path("cut.npy").write_bytes(whole[:-100])
    np.savez("cut.npz", x=tiny.frames())
    Path("cut.npz").write_bytes(Path("cut.npz").read_bytes()[:-100])
    np.save("nan.npy", np.full((1, 8, 8), np.nan, np.float32))
    np.save("few.npy", np.zeros(3, np.int64))
    np.save("real.npy", np.zeros(8, np.float32))
    np.savez("two.npz", a=np.zeros(8, np.int64), b=np.zeros(8, np.int64))
    Image.fromarray(np.zeros((8, 9), np.uint8)).save("wide.png")
    Path("torn.png").write_bytes(Path("wide.png").read_bytes()[:20])
    Path("notes.txt").write_text("hello")
    Path("file").write_text("")
    for name, plan in {
        "old": {"layers": [{"name": "conv", "folding": {}, "queues": [0]}], "format": 2},
        "list": [],
        "bare": {"layers": [{"name": "conv", "unit": "mac"}], "format": 3},
    }.items():
        Path(f"{name}.json").write_text(json.dumps(plan))
    Path("torn.json").write_text(json.dumps(WRITTEN)[:-9])

    def reached(*arguments, **options):
        pytest.fail("the model is quantised before what was given is judged")

    monkeypatch.setattr(front, "quantize", reached)
    monkeypatch.setattr(front, "lower", reached)
    return tmp_path


def refused(command, *arguments):
    """The error lines of a command that must leave the folder as it is."""
    before = sorted(Path.cwd().rglob("*"))
    if command in ("simulate", "run") and "--input" not in arguments:
        arguments = (*arguments, "--input", "frames.npy")
    result = CliRunner().invoke(cli, [command, "tiny.onnx", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert sorted(Path.cwd().rglob("*")) == before
    return [line.removeprefix("error: ") for line in result.stderr.splitlines() if line.startswith("error: ")]


FRAMES = {
    "wide.npy": "'wide.npy' has the shape [2, 1, 8, 9]; the input takes ['N', 1, 8, 8], or one frame of [1, 8, 8]",
    "wide.npz": "'wide.npz' holds x [2, 1, 8, 9]; none fits the input, which takes ['N', 1, 8, 8], or one frame of",
    "wide.npz:x": "'wide.npz:x' has the shape [2, 1, 8, 9]; the input takes ",
    "wide.npz:y": "'wide.npz' holds no array 'y'; it holds x [2, 1, 8, 9]",
    "wide.png": "'wide.png' is 9x8 pixels; the network takes 8x8: give pictures of that size, or --resize",
    "torn.png": "cannot read 'torn.png': it is damaged, or not a picture",
    "cut.npy": "'cut.npy' is not a file of plain numpy arrays, or is damaged; save it again",
    "cut.npz": "'cut.npz' is not a file of plain numpy arrays, or is damaged; save it again",
    "nan.npy": "'nan.npy' holds numbers that are NaN or infinite; give finite ones",
    "nosuch.png": "cannot read 'nosuch.png': there is no such file; check the path",
    "notes.txt": "'notes.txt' is of an unknown kind (.txt); give ",
}


@pytest.mark.parametrize("source", FRAMES)
@pytest.mark.parametrize("command", [*SIZED, "--input"])
def test_frames_that_do_not_fit(command, source):
    given = ("simulate", "--input", source) if command == "--input" else (command, "--calibration", source)
    (line,) = refused(*given)
    assert line.startswith(FRAMES[source])


PLANS = {
    "nosuch.json": "cannot read the plan 'nosuch.json': No such file or directory; check the path",
    "torn.json": "torn.json: not a plan file (",
    "list.json": "list.json: not a plan file (",
    "old.json": "old.json: format 2 is not the 3 that this version reads; build it anew",
    "bare.json": "bare.json: layers[0], layer 'conv': 'settings' is missing",
    "tiny.onnx": "cannot read the plan 'tiny.onnx': it is not text",
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("command", SIZED)
def test_plans_that_are_none(command, plan):
    (line,) = refused(command, "--plan", plan)
    assert line.startswith(PLANS[plan])


@pytest.mark.parametrize("command", ["build", "fit", "check", "verilog"])
def test_a_plan_of_another_network(command):
    entry = {"name": "conv", "operator": "Conv", "unit": "mac", "settings": {}, "queues": [0]}
    Path("other.json").write_text(json.dumps(WRITTEN | {"layers": [entry] * 5}))
    (line,) = refused(command, "--plan", "other.json")
    assert line == (
        "other.json: of another network, with 5 layers that have weights (the model has 2); give the plan.json that "
        "build wrote for this model"
    )


LABELS = {
    "few.npy": "'few.npy' holds 3 values of type int64; 8 class numbers needed",
    "real.npy": "'real.npy' holds 8 values of type float32; 8 class numbers needed",
    "two.npz": "'two.npz' holds a [8], b [8]; choose the labels with two.npz:KEY",
    "two.npz:c": "'two.npz' holds no array 'c'; it holds a [8], b [8]",
    "notes.txt": "'notes.txt' is not a file of plain numpy arrays, or is damaged; save it again",
    "nosuch.npy": "cannot read 'nosuch.npy': No such file or directory",
}


@pytest.mark.parametrize("labels", LABELS)
def test_labels_that_are_too_few_or_none(labels):
    assert refused("simulate", "--labels", labels) == [LABELS[labels]]


def test_labels_are_enough_for_the_frames_that_are_taken(monkeypatch):
    monkeypatch.setattr(cli.commands["simulate"], "callback", lambda **options: None)
    command = ["simulate", "tiny.onnx", "--input", "frames.npy", "--labels", "few.npy", "--frames", "3"]
    assert CliRunner().invoke(cli, command).exit_code == 0


@pytest.mark.parametrize("command", SIZED)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "nosuch"], "device 'nosuch' is not known; known: ice40up5k, "),
        (["--ranges", "x"], "Invalid value for '--ranges': 'x' is not one of "),
        (["--fps", "-1"], "Invalid value for '--fps': -1.0 is not in the range x>0"),
        (["--weights", "x"], "Invalid value for '--weights': 'x' is not one of "),
        (["--std", "0"], "a standard deviation of 0 divides by zero"),
        (
            ["--mean", "1,2", "--calibration", "frames.npy"],
            "--mean has 2 values; the input has 1 channels: give 1 or 1",
        ),
    ],
)
def test_options_that_cannot_be(command, arguments, words):
    (line,) = refused(command, *arguments)
    assert line.startswith(words)


@pytest.mark.parametrize("command", ["build", "fit", "check", "verilog"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fps", "1e9"], "1e+09 frames per second at "),
        (["--fps", "5", "--latency"], "--latency looks for the shortest way of one frame, --fps for a rate"),
        (["--weights", "spram", "--device", "lfe5u-25f"], "device lfe5u-25f has no SPRAM for weights"),
    ],
)
def test_sizes_that_cannot_be(command, arguments, words):
    (line,) = refused(command, *arguments)
    assert line.startswith(words)


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "--output", "file/new"],
        ["build", "--output", "."],
        ["build", "--output", "file"],
        ["verilog", "--output", "file/new"],
        ["weights", "--output", "file/new", "--for", "."],
        ["explore", "--picture", "file/new.svg"],
        ["explore", "--picture", "new.txt"],
        ["simulate", "--save", "file/new.npz"],
        ["simulate", "--engine", "amaranth", "--trace", "file/new.vcd"],
        ["run", "--board", "ulx3s", "--port", "nosuch", "--save", "file/new.npz"],
    ],
    ids=" ".join,
)
def test_places_that_cannot_be_written(arguments):
    (line,) = refused(*arguments)
    assert "name another folder" in line or "name a folder" in line or "the ending must be one of" in line


def test_all_that_is_wrong_is_told_at_once():
    given = ("--plan", "torn.json", "--device", "nosuch", "--input", "wide.npy", "--labels", "real.npy")
    lines = refused("simulate", *given)
    assert [line.partition(" ")[0] for line in lines] == ["device", "torn.json:", "'wide.npy'", "'real.npy'"]


def test_a_board_that_is_not_known():
    (line,) = refused("build", "--board", "nosuch")
    assert line.startswith("board 'nosuch' is not known; ")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"calibration": "wide.png"}, "'wide.png' is 9x8 pixels"),
        ({"calibration": np.zeros((2, 1, 8, 9))}, r"calibration frames of shape \[2, 1, 8, 9\]"),
        ({"device": "nosuch"}, "device 'nosuch' is not known"),
        ({"plan": "torn.json"}, "torn.json: not a plan file"),
        ({"plan": "old.json"}, "old.json: format 2"),
        ({"weights": "x"}, "weights 'x' are unknown"),
        ({"fps": 1e9}, "leave no cycle for a frame"),
    ],
    ids=str,
)
def test_from_python_likewise(settings, words):
    with pytest.raises(InputError, match=words):
        flow.compile("tiny.onnx", **settings)


@pytest.mark.parametrize("seed", range(30))
def test_as_many_layers_have_weights_as_the_nodes_tell(seed, tmp_path):
    """In random graphs: by this a plan is judged before the layers are known."""
    network, path = lowered(random_model(np.random.default_rng(seed)), tmp_path)
    weighted = [layer for layer in network.layers if type(layer.op).__name__ in WEIGHTED]
    assert len(weighted) == weighted_layers(flow.cut_model(path))


# What is judged by heads and by the file alone is what is found by reading all of it.


def test_heads_count_as_many_frames_as_are_loaded():
    spec = FrameSpec("image", (1, 8, 8), np.dtype(np.float32))
    np.savez("many.npz", x=tiny.frames(30), y=np.zeros(30))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("good.png")
    sources = ["many.npz", "good.png", "frames.npy", "many.npz:x"]
    for limit, spread in ((None, False), (3, False), (33, True), (CALIBRATION_FRAMES, True)):
        loaded = load_frames(sources, spec, Preparation(), limit, spread)
        assert count_frames(sources, spec, Preparation(), limit, spread) == len(loaded)


def test_a_turned_picture_has_the_size_that_it_is_seen_with():
    image = Image.fromarray(np.zeros((6, 8), np.uint8))
    image.getexif()[0x0112] = 6
    image.save("turned.jpg", exif=image.getexif())
    high = FrameSpec("image", (1, 8, 6), np.dtype(np.float32))
    assert count_frames(["turned.jpg"], high) == 1
    assert load_frames(["turned.jpg"], high).values.shape == (1, 1, 8, 6)
    with pytest.raises(InputError, match="is 6x8 pixels; the network takes 8x6"):
        count_frames(["turned.jpg"], FrameSpec("image", (1, 6, 8), np.dtype(np.float32)))


@pytest.mark.parametrize("changes", [{}, {"narrow": True}, {"softmax": True}])
def test_the_input_is_what_the_whole_model_has(changes):
    tiny.save(Path("other.onnx"), **changes)
    same_input(Path("other.onnx"))


@pytest.mark.parametrize("name", ["shufflenet-v2-12-int8.onnx", "branched_model_ch_last.onnx", "zoo_TFC_1W1A.onnx"])
def test_the_input_is_what_the_whole_model_has_in_real_ones(name):
    same_input(model(name))


def same_input(path):
    graph = flow.cut_model(path)
    name, info = model_input(path)
    assert (name, info.shape, info.dtype) == (graph.inputs[0], graph.tensors[name].shape, graph.tensors[name].dtype)


def test_an_input_that_cannot_be_told_is_left_to_reading_the_model():
    tiny.save(Path("open.onnx"), shape=["N", 1, "height", "width"])
    assert model_input("open.onnx") is None
    assert model_input("open.onnx", {"image": (1, 1, 8, 8)})[1].shape == (1, 1, 8, 8)
    assert model_input("notes.txt") is None
    assert model_input("nosuch.onnx") is None
