"""The PYNQ driver, alone and against a stand-in for the board: the same results as ``simulate``, to the last bit."""

import importlib.util
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hwgen import flow
from hwgen.device.targets import device
from hwgen.graph import golden
from hwgen.graph.semantics import float_elementwise
from hwgen.projects.facts import BuildFacts, Facts
from hwgen.projects.pynq import pynq_files
from hwgen.simulate.simulation import simulate
from hwgen.top.axi import AxiPort, port_names

from ..shared import model
from . import fake_pynq
from .common import facts, files, other, random_frames


def unpacked(blob, port, map_):
    """Frames [N, H, W, C] from bytes, one integer at a time."""
    size = port.element_bytes
    values = [
        int.from_bytes(blob[at : at + size], "little", signed=port.type.signed) for at in range(0, len(blob), size)
    ]
    return np.array(values, port.type.dtype).reshape(-1, *map_.shape)


def board(given: Facts):
    """What the hardware does with a transfer."""
    network, top = given.made.network, given.made.component

    def answers(blob):
        x = unpacked(blob, top.source, network.input.map)
        tensors = golden.run(network, x, [stream.name for stream in network.results])
        return [
            port.words(tensors[s.name]).rows.tobytes() for s, port in zip(network.results, top.results, strict=True)
        ]

    return answers


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A function that writes the driver's files and gives its class and the stand-in that it runs on."""

    def load(given, texts, answers=None):
        for name, text in texts.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        cells = [stream["dma"] for stream in json.loads(texts["accelerator.json"])["streams"]]
        fake = fake_pynq.module(answers or board(given), cells, (1 << 26) - 1)
        monkeypatch.setitem(sys.modules, "pynq", fake)
        monkeypatch.delitem(sys.modules, "elementwise", raising=False)
        monkeypatch.syspath_prepend(str(tmp_path))
        spec = importlib.util.spec_from_file_location("accelerator", tmp_path / "accelerator.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.Accelerator, fake

    return load


def same(found, expected):
    """Results by name, or the only one, equal in type and value."""
    found = found if isinstance(found, dict) else {next(iter(expected)): found}
    assert list(found) == list(expected)
    for name, want in expected.items():
        assert found[name].dtype == want.dtype
        np.testing.assert_array_equal(found[name], want, strict=True)


@pytest.mark.parametrize("name", ["tiny", "two", "narrow", "clipped"])
def test_results_are_those_of_simulate(driver, name, tmp_path):
    make, fake = driver(facts(name), files("pynq", name))
    frames = random_frames(7, name)
    accelerator = make()
    assert fake.bitfiles == [(str(tmp_path / f"{name}.bit"), True)]
    expected = simulate(facts(name).made.network, None, frames)
    same(accelerator.run(frames), expected.results)
    assert len(fake.transfers) == 1
    same(accelerator.run(frames, batch=3), expected.results)
    frame = expected.network.input.map.elements
    assert fake.transfers[1:] == [3 * frame, 3 * frame, frame]
    same(accelerator.run(frames[0]), {key: value[:1] for key, value in expected.results.items()})
    assert len(fake.buffers) == 1 + len(facts(name).made.component.results)
    integers = accelerator.run_integers(accelerator.quantise(frames))
    for port, stream in zip(facts(name).made.component.ports.values(), facts(name).made.network.results, strict=True):
        np.testing.assert_array_equal(integers[port], expected.streams[stream.name], strict=True)


def test_a_frame_error_is_seen(driver):
    make, fake = driver(facts(), files("pynq"))
    accelerator = make()
    assert accelerator.frame_error is False
    fake.status = 1
    assert accelerator.frame_error is True


class Loaded:
    """Hardware whose weights are loaded: what a transfer holds is said by its first word."""

    def __init__(self, *networks):
        self.networks = {given.image: board(given) for given in networks}
        self.now, self.word = board(networks[0]), networks[0].header_bytes

    def __call__(self, blob):
        kind, rest = blob[: self.word], blob[self.word :]
        if kind == b"load".ljust(self.word, b"\0"):
            self.now = self.networks[rest]
            return None
        assert kind == b"data".ljust(self.word, b"\0")
        return self.now(rest)


@pytest.fixture
def loadable(driver):
    """The driver of hardware that is loaded, the stand-in, and a network for it."""
    given, made = facts("loadable"), other()
    make, fake = driver(given, files("pynq", "loadable"), Loaded(given, Facts(made)))
    return make(), fake, made


def test_weights_are_loaded_with_their_scales(loadable, tmp_path):
    accelerator, fake, made = loadable
    frames, first = random_frames(5, "loadable"), facts("loadable")
    made.write(tmp_path / "other")
    built = tmp_path / "built"
    built.mkdir()
    (built / "mine.bin").write_bytes(first.image)
    shutil.copy(tmp_path / "accelerator.json", built)
    expected = {"built": simulate(first.made.network, None, frames), "other": simulate(made.network, None, frames)}
    assert (expected["built"].results["scores"] != expected["other"].results["scores"]).any()
    same(accelerator.run(frames), expected["built"].results)
    for place, name in (
        (tmp_path / "other", "other"),
        (built / "mine.bin", "built"),
        (str(tmp_path / "other"), "other"),
    ):
        accelerator.load(place)
        same(accelerator.run(frames, batch=3), expected[name].results)
    assert fake.transfers[1] == 4 + len(made.image)
    assert [buffer.freed for buffer in fake.buffers if buffer.size == 4 + len(made.image)] == [True] * 3


def test_a_bitstream_without_weights_is_given_them_first(driver, tmp_path):
    given, texts = facts("loadable"), files("pynq", "loadable")
    spec = json.loads(texts["accelerator.json"])
    spec["load"]["waits"] = True
    (tmp_path / "weights.bin").write_bytes(given.image)
    make, fake = driver(given, {**texts, "accelerator.json": json.dumps(spec)}, Loaded(given))
    accelerator, frames = make(), random_frames(2, "loadable")
    assert fake.transfers == [given.header_bytes + len(given.image)]
    same(accelerator.run(frames), simulate(given.made.network, None, frames).results)


def test_weights_of_something_else_are_refused(loadable, driver, tmp_path):
    accelerator, fake, made = loadable
    made.write(tmp_path / "other")
    weights, beside = tmp_path / "other" / "weights.bin", tmp_path / "other" / "accelerator.json"
    weights.write_bytes(made.image[:-1])
    with pytest.raises(ValueError, match=r"are not the weights that .* is for; copy both again"):
        accelerator.load(weights)
    weights.write_bytes(made.image)
    with pytest.raises(ValueError, match="are not the weights"):  # the driver's own is beside it
        accelerator.load(shutil.copy(weights, tmp_path))
    beside.write_text(beside.read_text().replace('"bytes": 339', '"bytes": 340'))
    with pytest.raises(ValueError, match="is for other hardware; make the weights with --for and the build in use"):
        accelerator.load(weights)
    beside.unlink()
    with pytest.raises(ValueError, match=r"accelerator\.json is missing; copy it with weights\.bin"):
        accelerator.load(tmp_path / "other")
    assert not fake.transfers
    make, _ = driver(facts(), files("pynq"))
    with pytest.raises(ValueError, match="fixed weights; build it with --weights loadable"):
        make().load(weights)


def test_larger_batches_get_larger_buffers_and_smaller_ones_keep_them(driver):
    make, fake = driver(facts(), files("pynq"))
    accelerator, frames = make("mine.bit", download=False), random_frames(5)
    assert fake.bitfiles == [("mine.bit", False)]
    expected = simulate(facts().made.network, None, frames).results
    for batch in (1, 4, 2):
        same(accelerator.run(frames, batch), expected)
    assert [buffer.freed for buffer in fake.buffers] == [True, True, False, False]


def test_frames_that_do_not_fit_are_refused(driver):
    make, _ = driver(facts(), files("pynq"))
    accelerator = make()
    with pytest.raises(ValueError, match=r"frames of shape \[3, 8, 8\]; the network takes \['N', 1, 8, 8\]"):
        accelerator.run(np.zeros((3, 8, 8), np.float32))
    with pytest.raises(ValueError, match="NaN or infinite"):
        accelerator.run(np.full((1, 8, 8), np.nan, np.float32))
    with pytest.raises(ValueError, match="no frames given"):
        accelerator.run(np.zeros((0, 1, 8, 8), np.float32))


def test_the_driver_needs_numpy_and_pynq_alone():
    """Its modules in an interpreter in which hwgen cannot be imported."""
    code = (
        "import sys, types\n"
        "class Block:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in ('hwgen', 'amaranth', 'onnx'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "sys.modules['pynq'] = types.SimpleNamespace(Overlay=object)\n"
        "for text in sys.argv[1:]: exec(compile(text, 'driver', 'exec'), {'__file__': 'x', '__name__': 'x'})\n"
    )
    texts = [files("pynq")["accelerator.py"], elementwise()]
    done = subprocess.run([sys.executable, "-c", code, *texts], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def elementwise():
    return importlib.util.find_spec(float_elementwise.__name__).loader.get_source(float_elementwise.__name__)


@pytest.mark.parametrize(
    "name",
    [
        "resnet8_cifar10_int8.tf2onnx.onnx",
        "resnet20_cifar10.brevitas_w8a8_float_qcdq.onnx",
        "zoo_TFC_1W1A.onnx",
        "gtsrb_cnn_12x12_w2a3.onnx",
    ],
)
def test_real_networks(driver, name):
    """Integers in and out, sums in real numbers, functions left to the host, types of few bits."""
    front = flow.quantised(model(name), warn=lambda line: None)
    given = real_facts(front)
    make, _ = driver(given, pynq_files(given))
    expected = simulate(front.network, None, front.samples)
    same(make().run(front.samples), expected.results)


def real_facts(front, **known):
    """Without hardware: only what drivers read."""
    network = front.network
    source, *results = (
        AxiPort(stream.map.type, 1, stream.map.elements) for stream in (network.input, *network.results)
    )
    top = SimpleNamespace(source=source, results=results, loads=None, ports=dict(enumerate(port_names(len(results)))))
    timing = SimpleNamespace(interval=1000, latency=1000)
    made = {"name": "net", "network": network, "component": top, "samples": front.samples, "schedule": timing}
    return BuildFacts(SimpleNamespace(device=device("xc7z020"), **made, **known))
