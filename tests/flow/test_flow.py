"""The flow from Python: what ``hwgen.compile`` gives, and that its files are what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen import flow
from hwgen.graph import golden
from hwgen.names import identifier
from hwgen.simulate.simulation import compare, simulate
from hwgen.simulate.waves import Waves
from tests import tiny
from tests.graph.reference import session


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx", softmax=True)


@pytest.fixture(scope="module")
def design(path):
    return hwgen.compile(path, calibration=tiny.frames(), multipliers=10)


def test_the_hardware_equals_golden_in_every_layer_and_cycle(design):
    result = design.simulate(tiny.frames(3), "amaranth")
    assert result.equal
    assert set(result.tensors) == set(design.network.tensors)
    assert result.timing.latency == design.schedule.latency
    begin = design.schedule.run.taken[0]
    assert np.array_equal(
        np.array(result.timing.done) - result.timing.taken[0], design.schedule.run.frame_ends[:3] - begin
    )
    assert result.timing.interval == result.timing.done[2] - result.timing.done[1]


def test_engines_agree(design):
    by_golden = design.simulate(tiny.frames(2))
    by_rtl = design.simulate(tiny.frames(2), "amaranth")
    assert by_golden.timing is None
    assert by_golden.integers.dtype == by_rtl.integers.dtype
    assert (by_golden.integers == by_rtl.integers).all()
    assert (by_golden.outputs == by_rtl.outputs).all()
    assert by_golden.classes.tolist() == by_golden.outputs.argmax(axis=1).tolist()
    assert np.allclose(by_golden.scores.sum(axis=1), 1)  # probabilities in float64, which round


@pytest.mark.slow
def test_the_schedule_says_what_the_hardware_does(design):
    predicted, seen = (design.simulate(tiny.frames(3), engine) for engine in ("schedule", "amaranth"))
    assert predicted.timing == seen.timing
    assert (predicted.outputs == seen.outputs).all()


@pytest.mark.slow
def test_pauses_cost_time_and_change_nothing(design, tmp_path):
    fast, slow = (design.simulate(tiny.frames(2), "amaranth", stall=stall) for stall in (None, 1))
    assert slow.equal
    assert slow.timing.done[-1] > fast.timing.done[-1]
    assert (slow.integers == fast.integers).all()
    again = design.simulate(tiny.frames(2), "amaranth", stall=1, trace=Waves(tmp_path / "a.vcd"))
    assert again.timing == slow.timing
    assert "$enddefinitions" in (tmp_path / "a.vcd").read_text()


def test_an_unknown_engine_is_refused(design):
    with pytest.raises(
        hwgen.InputError, match=r"the engine 'fpga' is unknown; choose one of golden, schedule, amaranth, compiled"
    ):
        design.simulate(tiny.frames(1), "fpga")
    with pytest.raises(hwgen.InputError, match=r"the engine 'golden' has no pauses \(stall\); choose one of amaranth"):
        design.simulate(tiny.frames(1), "golden", stall=1)
    with pytest.raises(hwgen.InputError, match="choose some with the engine 'compiled'"):
        design.simulate(tiny.frames(1), "amaranth", trace=Waves(Path("a.vcd"), first=3))


def test_differences_name_layer_place_and_values(design):
    integers = golden.network_input(design.network, tiny.frames(2))
    good = golden.run(design.network, integers)
    bad = {name: values.copy() for name, values in good.items()}
    pooled = next(layer for layer in design.network.layers if layer.name == "pool").output
    bad[pooled][1, 2, 3, 1] ^= 1
    bad[pooled][1, 3, 3, 0] ^= 1
    (found,) = compare(design.network, good, bad)
    before, after = good[pooled][1, 2, 3, 1], bad[pooled][1, 2, 3, 1]
    assert str(found) == (
        "layer 'pool' differs from golden in 2 of 128 integers, first in frame 1 at row 2, column 3, channel 1: "
        f"golden {before}, RTL {after}"
    )


def test_hardware_with_other_weights_is_found_out(design, tmp_path):
    weight = np.ones((4, 1, 3, 3), np.float32)
    other = hwgen.compile(tiny.save(tmp_path / "o.onnx", weight=weight), calibration=tiny.frames(), multipliers=10)
    result = simulate(design.network, other.plan, tiny.frames(1), "amaranth")
    assert not result.equal
    assert [mismatch.layer for mismatch in result.mismatches] == ["conv", "pool", "dense"]


@pytest.mark.slow
def test_a_wrong_prediction_does_not_pass_the_check(design):
    class Wrong:
        latency, interval = design.schedule.latency + 1, design.schedule.interval

    wrong = replace(design)
    vars(wrong)["schedule"] = Wrong()
    with pytest.raises(RuntimeError, match=f"latency is {design.schedule.latency} cycles, predicted {Wrong.latency}"):
        wrong.checked()


@pytest.mark.slow
def test_write_makes_the_same_bytes_twice(path, tmp_path, monkeypatch):
    for folder in ("a", "b/c"):
        monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / f"cache of {folder}"))  # nothing is remembered
        design = flow.build(path, tmp_path / folder, calibration=tiny.frames(), multipliers=10)
        assert design.check.equal
    first, second = tmp_path / "a", tmp_path / "b/c"
    names = [
        "expected.hex",
        "input.hex",
        "manifest.json",
        "plan.json",
        "report.html",
        "report.json",
        "report.txt",
        "schedule.svg",
    ]
    names += ["tiny.v", "tiny_qdq.onnx", "tiny_tb.v"]
    assert sorted(file.name for file in first.iterdir()) == sorted(names)
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_the_written_model_gives_the_same_numbers_in_onnx_runtime(design, tmp_path):
    design.write(tmp_path / "out")
    runtime = session(tmp_path / "out" / "tiny_qdq.onnx")
    frames = tiny.frames(20)
    (want,) = runtime.run(None, {"image": frames})
    assert (design.simulate(frames).outputs == want).all()


def test_a_plan_can_be_edited_and_fed_back(path, design, tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(design.plan.to_json())
    again = hwgen.compile(path, calibration=tiny.frames(), plan=file)
    assert again.plan.to_json() == design.plan.to_json()
    data = json.loads(design.plan.to_json())
    data["layers"][0]["name"] = "cnov"
    file.write_text(json.dumps(data))
    with pytest.raises(hwgen.InputError) as caught:
        hwgen.compile(path, calibration=tiny.frames(), plan=file)
    assert caught.value.problems == (
        f"{file}: layer 'cnov' is not in the model; near are 'conv'",
        f"{file}: layer 'conv' of the model is missing",
    )
    with pytest.raises(hwgen.InputError, match=r"cannot read the plan '.*none.json': No such file or directory"):
        hwgen.compile(path, calibration=tiny.frames(), plan=tmp_path / "none.json")


def test_a_frame_rate_takes_the_least_hardware(path):
    slow = hwgen.compile(path, calibration=tiny.frames(), fps=1e5)
    fast = hwgen.compile(path, calibration=tiny.frames(), fps=5e5)
    assert slow.schedule.interval <= 1000
    assert fast.schedule.interval <= 200
    assert slow.plan.multipliers < fast.plan.multipliers
    with pytest.raises(hwgen.FitError, match=r"raise --multipliers or --clock, or lower --fps"):
        hwgen.compile(path, calibration=tiny.frames(), fps=5e5, multipliers=2)
    with pytest.raises(hwgen.InputError, match="leave no cycle for a frame"):
        hwgen.compile(path, calibration=tiny.frames(), fps=1e9)


def test_a_device_with_too_few_multipliers_is_named(design):
    small = replace(design.device, name="small", dsps=1, luts=1000)  # nor are there LUTs to multiply in
    with pytest.raises(hwgen.FitError, match=r"^device small is too small: .* or take a larger --device$"):
        flow.choose_plan(design.network, small)
    unbound = flow.choose_plan(design.network, small, multipliers=10, bound=False)
    assert unbound.to_json() == design.plan.to_json()


def test_without_calibration_the_user_is_told(path):
    told = []
    design = hwgen.compile(path, multipliers=10, warn=told.append)
    assert len(told) == 1
    assert "no calibration data" in told[0]
    assert "--calibration" in told[0]
    assert design.warnings == tuple(told)
    assert design.report.data["warnings"] == told


@pytest.mark.slow
def test_progress_tells_every_step(path, tmp_path, monkeypatch):
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))  # where no check is remembered
    told = []
    design = hwgen.compile(path, calibration=tiny.frames(), multipliers=10, progress=lambda *step: told.append(step))
    design.checked()
    steps = list(dict.fromkeys(step[0] for step in told))
    assert steps == [
        "reading the model",
        "quantising",
        "proving integer arithmetic",
        "sizing layers",
        "scheduling",
        "writing Verilog",
        "checking RTL against golden (Amaranth's simulator)",
    ]
    shares = [step[1] for step in told if step[0] == steps[-1] and len(step) > 1]
    assert shares == sorted(shares)


def test_calibration_may_come_from_files(path, tmp_path, design):
    np.save(tmp_path / "frames.npy", tiny.frames())
    again = hwgen.compile(path, calibration=tmp_path / "frames.npy", multipliers=10)
    assert again.to_verilog() == design.to_verilog()


def test_golden_needs_no_plan(path):
    front = flow.quantised(path, tiny.frames())
    assert len(simulate(front.network, None, tiny.frames(300)).integers) == 300


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("lenet5", "lenet5"),
        ("resnet20.ort_QDQ", "resnet20_ort_QDQ"),
        ("2-layer net", "net_2_layer_net"),
        ("cell", "net_cell"),
        ("été", "t"),
        ("...", "network"),
    ],
)
def test_names_become_identifiers(name, want):
    assert identifier(name) == want


def test_what_can_be_refused_is_refused_before_the_model_is_read(tmp_path):
    missing = tmp_path / "missing.onnx"
    with pytest.raises(hwgen.InputError, match="cannot read the plan"):
        flow.compile(missing, plan=tmp_path / "missing.json")
    with pytest.raises(hwgen.InputError, match="--latency looks for the shortest way"):
        flow.compile(missing, latency=True, fps=10)


def test_a_plan_may_name_blocks_that_no_search_takes_unless_a_device_is_named(path, design, tmp_path):
    assert "alu54b" not in design.plan.to_json()
    data = json.loads(design.plan.to_json())
    folding = next(layer["settings"] for layer in data["layers"] if layer["unit"] == "mac")
    folding["array"] = "alu54b"
    (tmp_path / "plan.json").write_text(json.dumps(data))
    made = hwgen.compile(path, calibration=tiny.frames(), plan=tmp_path / "plan.json")
    assert made.plan.layers[0].unit.slices == "alu54b"
    assert made.simulate(tiny.frames(2), "amaranth").equal


def test_a_plan_with_blocks_that_a_device_does_not_have_is_refused(path, tmp_path):
    cascades = hwgen.compile(path, calibration=tiny.frames(), device="xczu3eg", multipliers=10)
    (tmp_path / "plan.json").write_text(cascades.plan.to_json())
    with pytest.raises(hwgen.InputError, match=r"array 'dsp48e2', cascades of DSP blocks that lfe5u-25f does not have"):
        hwgen.compile(path, calibration=tiny.frames(), device="lfe5u-25f", plan=tmp_path / "plan.json")
