"""Speeds are stated at a clock that the device can have, and where it comes from is said."""

import hwgen
from hwgen.device.clocks import Clock
from hwgen.device.families import FAMILIES
from hwgen.device.targets import device
from tests import tiny


def test_every_family_has_a_clock_with_a_source():
    clocks = {name: family.clock for name, family in FAMILIES.items()}
    assert all(clock.source and clock.known in ("measured", "not measured") for clock in clocks.values())
    assert {name for name, clock in clocks.items() if clock.known == "measured"} == {"ecp5", "ice40", "gw1n"}


def test_where_a_clock_comes_from_is_said():
    ecp5, zynq = device("lfe5u-85f"), device("xc7z020")
    assert {ecp5.clock(given).stated for given in (None, 100e6, Clock.of_mhz(100))} == {"100 MHz (ECP5, measured)"}
    assert {ecp5.clock(given).stated for given in (80e6, Clock.of_mhz(80))} == {"80 MHz"}
    assert zynq.clock().origin.endswith("not measured")


def test_a_clock_says_its_unit():
    clock = Clock.of_mhz(12.5)
    assert (str(clock), clock.hz, clock.mhz) == ("12.5 MHz", 12_500_000, 12.5)
    assert (clock.rate(125), clock.seconds(125)) == (100_000, 1e-5)
    assert Clock.of_mhz(12) < clock == Clock(12.5e6, "from elsewhere")


def test_the_family_s_clock_is_the_default_and_a_given_one_wins(tmp_path):
    path = tiny.save(tmp_path / "tiny.onnx")
    made = {"calibration": tiny.frames(), "multipliers": 4, "device": "ice40up5k", "lenient": True}
    design = hwgen.compile(path, **made)
    assert design.clock == Clock.of_mhz(24)
    assert "at 24 MHz (iCE40 UltraPlus, measured)" in str(design.report)
    assert "24 MHz (iCE40 UltraPlus, measured)" in design.report.html()
    assert design.report.data["speed"]["clock_origin"] == "iCE40 UltraPlus, measured"
    asked = hwgen.compile(path, clock=12e6, **made)
    assert asked.clock == Clock.of_mhz(12)
    assert asked.report.data["speed"]["clock_origin"] is None
