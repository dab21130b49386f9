"""docs/plan.md names every field of plan.json, and no other."""

import json
import re
from dataclasses import fields
from pathlib import Path

from hwgen.blocks.mac import MacFolding
from hwgen.blocks.operator import LaneFolding
from hwgen.dataflow.plan import FORMAT
from hwgen.flow import compile as compiled

from . import tiny

TEXT = (Path(__file__).parents[1] / "docs/plan.md").read_text(encoding="utf-8")


def documented():
    """Names in the first column of each table."""
    tables = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]*)\|", table, re.M)))) for table in tables]


def test_every_field_is_documented(tmp_path):
    tiny.save(tmp_path / "tiny.onnx")
    plan = compiled(tmp_path / "tiny.onnx", calibration=tiny.frames(), multipliers=10).plan
    data = json.loads(plan.to_json())
    whole, layer, folding = documented()
    assert whole == set(data)
    assert layer == {name for entry in data["layers"] for name in entry}
    assert folding == {field.name for field in fields(MacFolding)}
    assert {name for entry in data["layers"] for name in entry["folding"]} <= folding | {"lanes"}


def test_other_foldings_and_the_format_are_as_documented():
    assert [field.name for field in fields(LaneFolding)] == ["lanes"]
    assert f"version of this format: {FORMAT};" in TEXT
