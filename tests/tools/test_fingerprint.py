"""Values have the same fingerprint where their content is the same, and only there; what is made of it is made once."""

from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property

import numpy as np
import pytest

from hwgen import accelerator, flow
from hwgen.hdl import export
from hwgen.tools.fingerprint import fingerprint
from tests import tiny


class Kind(Enum):
    ONE = 1
    TWO = 2


@dataclass(frozen=True)
class Part:
    scale: float
    weights: tuple = ()

    @cached_property
    def remembered(self) -> int:
        return 1


SAME = [
    (np.arange(4).reshape(2, 2), np.arange(4).reshape(2, 2).T.copy().T),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (frozenset("abc"), frozenset("cba")),
    (Part(0.5, (1, 2)), Part(0.5, (1, 2))),
]
DIFFERENT = [
    (np.arange(4), np.arange(4).reshape(2, 2)),
    (np.arange(4, dtype=np.int8), np.arange(4, dtype=np.uint8)),
    (("a", "bc"), ("ab", "c")),
    (((1,), 2), ((1, 2),)),
    (1, True),
    (1, 1.0),
    (0.1, 0.1 + 2**-56),
    ("1", 1),
    (Fraction(1, 3), 1 / 3),
    (Kind.ONE, Kind.TWO),
    (Part(0.5), Part(0.25)),
    (None, "None"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_content_has_the_same_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_other_content_has_another(one, other):
    assert fingerprint(one) != fingerprint(other)


def test_what_is_remembered_on_an_object_does_not_count():
    part = Part(0.5)
    before = fingerprint(part)
    assert part.remembered
    assert fingerprint(part) == before


def test_what_cannot_be_told_is_refused():
    with pytest.raises(TypeError, match="has no fingerprint"):
        fingerprint(object())


@pytest.fixture
def written(monkeypatch, tmp_path):
    """How many times Verilog was written, with a cache of its own."""
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    calls = []
    real = export.export
    monkeypatch.setattr(accelerator, "export", lambda *args, **made: calls.append(args) or real(*args, **made))
    return calls


def compiled(tmp_path, **settings):
    return flow.compile(tiny.save(tmp_path / "tiny.onnx"), calibration=tiny.frames(), **settings)


@pytest.mark.slow
def test_verilog_of_the_same_design_is_written_once(written, tmp_path):
    first, second = (compiled(tmp_path, multipliers=8).verilog for _ in range(2))
    assert len(written) == 1
    assert first == second
    assert compiled(tmp_path, multipliers=2).verilog != first
    assert len(written) == 2


@pytest.mark.slow
def test_it_is_written_again_where_the_program_or_what_was_kept_is_another(written, tmp_path, monkeypatch):
    design = compiled(tmp_path, multipliers=8)
    assert design.verilog
    (kept,) = (tmp_path / "cache" / "verilog").iterdir()
    kept.write_bytes(kept.read_bytes()[:-30])
    assert compiled(tmp_path, multipliers=8).verilog == design.verilog
    assert len(written) == 2
    monkeypatch.setattr(export, "program", lambda: "another")
    assert compiled(tmp_path, multipliers=8).verilog == design.verilog
    assert len(written) == 3


@pytest.mark.slow
def test_only_so_many_are_kept(written, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "KEPT", 2)
    for multipliers in (2, 8, 10):
        assert compiled(tmp_path, multipliers=multipliers).verilog
    assert len(list((tmp_path / "cache" / "verilog").glob("*.gz"))) == 2


def test_one_weight_makes_another_design(written, tmp_path):
    design = compiled(tmp_path, multipliers=8)
    layer = design.plan.layers[0]
    weights = layer.op.weights.copy()
    weights.flat[0] += 1
    changed = replace(layer, unit=replace(layer.unit, op=replace(layer.op, weights=weights)))
    assert fingerprint(design.plan) != fingerprint(replace(design.plan, layers=(changed, *design.plan.layers[1:])))
