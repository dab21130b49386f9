"""The report as a page: whole, alone, and with the numbers of the design."""

import copy
import io
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import hwgen
from hwgen.board.bitstream import Implementation
from hwgen.board.boards import board
from hwgen.dataflow.activity import KINDS
from hwgen.device.clocks import Clock
from hwgen.names import identifier
from hwgen.report.html import facts
from hwgen.report.report import Report
from tests import tiny

VOID = {"meta", "img", "br", "path", "rect", "circle", "link", "hr", "input"}


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    path = tiny.save(tmp_path_factory.mktemp("model") / "tiny.onnx", softmax=True)
    return hwgen.compile(path, calibration=tiny.frames(), multipliers=10, clock=50e6)


@pytest.fixture
def data(design):
    return copy.deepcopy(design.report.data)


def page_of(design, data) -> str:
    return Report(data, design.activity).html()


class Page(HTMLParser):
    """Elements with their attributes, what is said, and whether every element that is opened is closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        if "style" not in self.open:
            self.words.append(text.strip())

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_is_whole_and_needs_nothing_else(design):
    text = design.report.html()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert page.of("html") == [{"lang": "en"}]


def test_the_page_is_the_same_every_time(design):
    assert design.report.html() == design.report.html()


def test_pictures_are_told_in_words(design):
    page = Page(design.report.html())
    (svg,) = page.of("svg")
    named = {attributes.get("id") for tag, attributes in page.elements if tag in ("title", "desc")}
    assert svg["role"] == "img"
    assert set(svg["aria-labelledby"].split()) <= named
    assert all(image["alt"] for image in page.of("img"))


def test_numbers_are_those_of_the_report(design, data):
    words = " ".join(Page(page_of(design, data)).words)
    for layer in data["layers"]:
        for said in (
            layer["name"],
            layer["folding"],
            f"{layer['multipliers']:,} multiplier{'s' * (layer['multipliers'] != 1)}",
        ):
            assert said in words
    for said in (
        f"{data['speed']['cycles_per_frame']:,}",
        f"{data['speed']['frames_per_second']:,.0f}",
        "lfe5u-85f: estimated to fit",
        *(proof["proved"] for proof in data["exactness"]),
        *(row["resource"] for row in data["device"]["resources"]),
        "Left to the host: softmax",
        "python -m hwgen fit MODEL --device lfe5u-85f --synth",
    ):
        assert said in words
    assert "has not been simulated" in words
    data["check"] = {"frames": 1, "layers": 3, "integers": 323, "equal": True, "latency_cycles": 1}
    assert "all 323 of 3 layers" in " ".join(Page(page_of(design, data)).words)


def test_every_layer_is_a_square_and_has_its_bars(design, data):
    page = Page(page_of(design, data))
    squares = [attributes for attributes in page.of("rect") if attributes["class"] == "fill"]
    assert len(squares) == len(data["layers"])
    shares = [layer["hardware_share"] for layer in data["layers"]]
    sides = [float(square["width"]) for square in squares]
    assert sides.index(max(sides)) == shares.index(max(shares))
    works = [
        re.search(r"([\d.]+)%", bar["style"])[1] for bar in page.of("i") if bar.get("title", "").startswith("works")
    ]
    interval = data["speed"]["cycles_per_frame"]
    assert [float(share) for share in works] == [
        round(100 * entry["works"] / interval, 1) for entry in data["activity"]["layers"]
    ]


def test_names_are_not_taken_for_markup(design, data):
    data["layers"][0]["name"] = data["activity"]["layers"][0]["layer"] = "<b>&conv"
    for edge in data["edges"]:
        for end in ("from", "to"):
            edge[end] = "<b>&conv" if edge[end] == "conv" else edge[end]
    text = page_of(design, data)
    assert "&lt;b&gt;&amp;conv" in text
    assert "<b>&conv" not in text


def test_what_does_not_fit_is_said_first_thing_to_do(design, data):
    data["device"]["fits"] = False
    data["device"]["problems"] = ["lfe5u-85f has 1 LUT4 and the design needs 2, 1 more: take a larger device"]
    text = page_of(design, data)
    assert "estimated not to fit" in text
    assert text.index("the design needs 2, 1 more") < text.index("Try it on frames of your own")


def test_commands_name_the_files_that_are_there(design, data):
    data["network"]["name"] = "a.b-c"
    assert f"{identifier('a.b-c')}_tb.v" in page_of(design, data)


def test_large_figures_are_short(data):
    data["total"] |= {"memory_bits": 8192 * 25_991, "multiplications": 4_089_184_256}
    values = {what: value for what, value, _ in facts(data)}
    assert (values["Memory"], values["Multiplications"]) == ("25.4 MiB", "4,089 M")


def test_warnings_stand_at_the_top(design, data):
    data["warnings"] = ["one & two"]
    text = page_of(design, data)
    assert text.index("Warning: one &amp; two") < text.index('id="pipeline"')


def test_a_bitstream_has_a_section_of_its_own(design, data):
    assert "Placed and routed" not in page_of(design, data)
    made = Implementation(
        board=board("ulx3s"),
        clock=Clock.of_mhz(50),
        reached=Clock.of_mhz(61.5),
        baud=3_000_000,
        link=362.4,
        design=bytes(8),
        used={"LUT4": (2000, 83640)},
        seconds={},
        files={"tiny.bit": b"bits"},
    )
    words = " ".join(Page(replace(design, implementation=made).report.html()).words)
    assert "Placed and routed: ulx3s" in words
    assert "reaches 61.5 MHz and runs at 50 MHz. The link, 3,000,000 baud, takes 362 frames a second" in words
    assert "2,000 83,640 2%" in " ".join(words.split())
    assert "openFPGALoader -b ulx3s tiny.bit" in words


def test_the_timeline_is_that_of_the_run(design):
    (image,) = Page(design.report.html()).of("img")
    pixels = np.array(Image.open(io.BytesIO(b64decode(image["src"].partition(",")[2]))))
    timeline = design.activity.timeline
    assert pixels.shape == (*timeline.shape[:2], 4)
    for kind, colour in enumerate(KINDS.values()):
        alone = timeline[:, :, kind] == 1
        assert (pixels[alone][:, :3] == np.round(np.array(colour) * 255)).all()
    assert (pixels[timeline.sum(axis=2) == 0][:, 3] == 0).all()
    assert (pixels[np.isclose(timeline.sum(axis=2), 1)][:, 3] == 255).all()


def test_without_a_run_there_is_no_timeline(data):
    page = Page(Report(data).html())
    assert page.open == []
    assert page.of("img") == []


def test_large_networks_have_low_rows(design, data):
    names = [f"layer{n}" for n in range(100)]
    data["layers"] = [{**data["layers"][0], "name": name} for name in names]
    data["activity"]["layers"] = [{**data["activity"]["layers"][0], "layer": name} for name in names]
    ends = zip(["", *names], [*names, ""], strict=True)
    data["edges"] = [{"from": a, "to": b, "places": 16, "peak": 4, "handed": False, "output": 0} for a, b in ends]
    text = page_of(design, data)
    assert 'class="card pipe low"' in text
    assert "4 of 16 places" in text
