"""The page of networks and devices shows what its benchmark keeps."""

from benchmarks.rows import BEGIN, END, binding, known, table
from tests.shared import ROOT


def test_the_page_shows_what_is_kept():
    page = (ROOT / "docs/rows.md").read_text(encoding="utf-8")
    shown = page.split(f"{BEGIN}\n")[1].split(f"\n{END}")[0]
    assert shown.splitlines() == list(table(known()))


def test_what_binds_is_used_up_or_comes_nearest_to_that():
    assert binding({}, {"luts": 0.91, "ffs": 0.5, "dsps": 0.99, "large": None}) == "DSP, LUT"
    assert binding({}, {"luts": 0.61, "ffs": 0.5, "dsps": 0.89, "large": None}) == "DSP"
    assert binding({"paced": "conv1"}, {"luts": 0.99}) == "`conv1`, of which no unit is faster"
