"""The report: the same numbers as the design, in data and in text that fits."""

import copy
import json

import pytest

import hwgen
from hwgen.blocks import GlobalMaxPool
from hwgen.graph.types import U8, FeatureMap
from hwgen.report.report import Report
from hwgen.report.tables import by, labelled, shortened, table
from hwgen.report.text import shortcut_lines
from tests import tiny


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    path = tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx", softmax=True)
    return hwgen.compile(path, calibration=tiny.frames(), multipliers=10, clock=50e6).checked()


def test_data_is_plain_and_says_what_the_design_says(design):
    data = design.report.data
    assert json.loads(design.report.to_json()) == data
    assert [layer["name"] for layer in data["layers"]] == ["conv", "pool", "dense"]
    assert data["layers"][0]["multiplications"] == 8 * 8 * 9 * 4
    assert data["total"]["multipliers"] == design.plan.multipliers == sum(x["multipliers"] for x in data["layers"])
    assert all(sum(layer["memory_places"].values()) == layer["memory_bits"] for layer in data["layers"])
    assert data["total"]["memory_bits"] == design.plan.memory_bits == sum(x["memory_bits"] for x in data["layers"])
    speed = data["speed"]
    assert speed["cycles_per_frame"] == design.schedule.interval
    assert speed["frames_per_second"] == 50e6 / design.schedule.interval
    assert speed["latency_seconds"] == design.schedule.latency / 50e6
    used = design.plan.multipliers * design.schedule.interval
    assert speed["multipliers_busy"] == (8 * 8 * 9 * 4 + 64 * 3) / used
    assert data["network"]["left_to_the_host"] == ["softmax"]


def test_exactness_is_certified_for_every_layer_that_requantises(design):
    conv, pool, dense = design.report.data["exactness"]
    assert [proof["layer"] for proof in (conv, pool, dense)] == ["conv", "pool", "dense"]
    form = design.plan.layers[0].op.requantization
    assert (conv["channels"], conv["thresholds"], conv["shift"]) == (4, 4 * 255, form.shift)
    assert conv["sums"] == [form.low.min(), form.high.max()]
    assert conv["proved"] == dense["proved"] == "equal on both sides of every threshold of every channel"
    assert pool == {"layer": "pool", "form": "none", "proved": "nothing is rounded: no requantisation"}
    assert design.report.data["check"] == {
        "frames": 1,
        "layers": 3,
        "integers": 8 * 8 * 4 + 4 * 4 * 4 + 3,
        "equal": True,
        "latency_cycles": design.schedule.latency,
    }


def test_every_layer_has_a_line_in_the_table_of_proofs(design):
    data = copy.deepcopy(design.report.data)
    data["exactness"].append(
        {"layer": "table", "form": "table", "proved": "every entry is the definition", "entries": 256}
    )
    lines = str(Report(data)).splitlines()
    heads = next(n for n, line in enumerate(lines) if line.startswith("layer") and "sums up to" in line)
    conv, pool, dense, last = (line.split() for line in lines[heads + 2 : heads + 6])
    assert conv[0] == "conv"
    assert {f"{4 * 255:,}", f"{max(map(abs, data['exactness'][0]['sums'])):,}"} <= set(conv)
    assert (pool, dense[0], last) == (["pool", "none"], "dense", ["table", "table", "256"])


def test_text_names_everything(design):
    text = str(design.report)
    assert text.startswith("tiny: 1x8x8 u8 -> 3 u8\n")
    for words in (
        "8x8x4 u8",
        str(design.plan.layers[0].folding),
        f"Bottleneck   {design.schedule.bottleneck}",
        f"{design.schedule.interval:,} cycles per frame: ",
        f"{50e6 / design.schedule.interval:,.0f} frames per second at 50 MHz",
        f"{design.schedule.latency:,} cycles: ",
        "proved equal to ONNX Runtime's on both sides of every threshold",
        "RTL equals golden in all 323 integers of 3 layers",
        "Left to the host: softmax",
        "lfe5u-85f",
    ):
        assert words in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_and_is_plain(design, width):
    text = design.report.text(width)
    assert max(map(len, text.splitlines())) <= width
    assert text.isascii()
    assert not any(line != line.rstrip() for line in text.splitlines())


def test_text_is_the_same_every_time_and_everywhere(design, monkeypatch):
    text = design.report.text(100)
    for name, value in {"COLUMNS": "40", "TERM": "dumb", "FORCE_COLOR": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
        assert Report(design.report.data).text(100) == text


def test_brackets_in_names_are_kept(design):
    data = copy.deepcopy(design.report.data)
    data["layers"][0]["name"] = "[bold]/conv[0]"
    assert "\n[bold]/conv[0] " in Report(data).text(80)


def test_long_names_are_cut_and_stay_different():
    names = ["features/a/Conv", "features/b/Conv", "short"]
    assert list(shortened(names, 9).values()) == ["../a/Conv", "../b/Conv", "short"]
    assert list(shortened(names, 6).values()) == ["#1..nv", "#2..nv", "short"]
    assert list(shortened(names, 15).values()) == names


def test_a_layer_is_shown_by_both_names_where_the_model_s_is_short():
    names = [("conv1", "conv1"), ("conv2", "/a/Conv"), ("conv3", "/features/features.0/Conv")]
    assert list(labelled(names, 20).values()) == ["conv1", "conv2  /a/Conv", "conv3"]


def test_long_names_fit(design):
    data = copy.deepcopy(design.report.data)
    long = "/features/features.0/" + "very_" * 12
    for number, layer in enumerate(data["layers"]):
        layer["name"] = f"{long}{number}/Conv"
    text = Report(data).text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("_0/Conv ") == 1
    assert len(text.splitlines()) == len(design.report.text(80).splitlines())


def test_warnings_are_listed(design):
    data = copy.deepcopy(design.report.data)
    data["warnings"] = ["one", "two"]
    assert Report(data).text().endswith("Left to the host: softmax\nWarning: one\nWarning: two\n")


def test_a_table_lies_right_for_numbers():
    lines = table(["name", "<count"], [("a", "1"), ("bc", "1,000")], 40, ("all", "1,001"))
    assert lines == [
        "name   count",
        "------------",
        "a          1",
        "bc     1,000",
        "------------",
        "all    1,001",
    ]


def test_multiplications_of_an_operator_without_weights_are_none():
    assert GlobalMaxPool(FeatureMap(4, 4, 2, U8), (0, 255)).macs == 0
    assert by((28, 28, 6)) == "28x28x6"


def test_shortcuts_have_a_line_each():
    row = {"place": 1, "two_rows": 7168, "bytes": 512}
    shortcuts = [{**row, "layer": "sum1", "handed_by": "conv1"}, {**row, "layer": "sum2", "handed_by": None}]
    lines = shortcut_lines({"shortcuts": shortcuts}, 100)
    said = [line.split() for line in lines]
    assert ["sum1", "conv1", "7,168", "512"] in said
    assert ["sum2", "a", "queue", "7,168", "512"] in said
    assert ["all", "14,336", "1,024"] in said
    assert shortcut_lines({"shortcuts": []}, 100) == []
