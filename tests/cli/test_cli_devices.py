"""The list of devices."""

import re

from tests.cli.test_cli import errors, ok


def test_devices_are_listed():
    listed = ok("devices").stdout
    assert re.search(r"^lfe5u-85f +83,640 +41,820 +83,640 +156 18x18 +208 x 18 kbit$", listed, re.M)
    assert re.search(r"^lfe5u-85f +ecp5 +LFE5U-85F-6\S* +ULX3S 85F, DRAM 32 MB, 0.33 +", listed, re.M)
    assert max(map(len, listed.splitlines())) <= 80
    sources = set(re.findall(r"^\[(\d+)\] \S", listed, re.M))
    assert set(re.findall(r"\[(\d+)\]", listed)) == sources
    gowin = ok("devices", "--family", "Gowin").stdout
    assert re.findall(r"^(\S+) .*9x9", gowin, re.M) == ["gw1nr-9c", "gw2a-18c", "gw2ar-18c"]
    (problem,) = errors("devices", "--family", "spartan")
    assert problem.startswith("family 'spartan' is not known; known: ecp5, gw1n, ")
