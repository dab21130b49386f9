"""Every operator with every kind of folding, through the one harness."""

import re
from collections import Counter

import pytest

from hwgen.blocks import OPERATORS
from hwgen.blocks.mac_operator import MacOperator
from hwgen.blocks.operator import GoldenOnly
from hwgen.hdl.formal import prove_contract
from hwgen.hdl.rtlil import to_rtlil
from hwgen.testing import check_operator

from .cases import CASES

each = pytest.mark.parametrize(("op", "folding"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])


def one_of_each_soon():
    """All cases; those of an operator and a way to feed it that stand behind another one are slow."""
    seen = set()
    for name, op, folding in CASES:
        kind = (type(op), type(folding), getattr(folding, "window", None))
        yield pytest.param(op, folding, id=name, marks=[pytest.mark.slow] if kind in seen else [])
        seen.add(kind)


@pytest.mark.parametrize(("op", "folding"), list(one_of_each_soon()))
def test_golden_stalls_and_exact_cycles(op, folding):
    check_operator(op, folding)


@each
def test_stream_contract_is_proved(op, folding):
    prove_contract(op.unit(folding).block())


@pytest.mark.parametrize(("op", "folding"), [case[1:] for case in CASES if isinstance(case[1], MacOperator)])
def test_the_folding_is_one_that_can_be_planned(op, folding):
    assert op.unit(folding).problems() == []


@pytest.mark.parametrize(("op", "folding"), [case[1:] for case in CASES if isinstance(case[1], MacOperator)])
def test_memories_and_multipliers_are_those_of_the_block(op, folding):
    text, cost = to_rtlil(op.unit(folding).block(), "top"), op.unit(folding).cost
    memories, multipliers = contents(dict(re.findall(r"^module (\S+)\n(.*?)^end$", text, re.DOTALL | re.MULTILINE)))
    assert memories == Counter((need.width, need.depth) for need in cost.memories if need.style != "logic")
    assert multipliers == sum(products.count for products in cost.products)


def contents(modules: dict[str, str], name: str = "\\top") -> tuple[Counter, int]:
    """Memories (width, depth) and multipliers of a module and of all instances in it."""
    text = modules[name]
    memories = Counter((int(width), int(depth)) for width, depth in re.findall(r"memory width (\d+) size (\d+)", text))
    pairs = re.findall(r"cell \$mul .*?connect \\A (.*?)\n\s*connect \\B (.*?)\n", text, re.DOTALL)
    constant = re.compile(r"\d+'")  # multiplied by shifts and adders
    multipliers = sum(not (constant.match(a) or constant.match(b)) for a, b in pairs)
    for kind in re.findall(r"cell (\\\S+) ", text):
        inner = contents(modules, kind)
        memories, multipliers = memories + inner[0], multipliers + inner[1]
    return memories, multipliers


def test_every_operator_has_a_case():
    assert {type(op) for _, op, _ in CASES} == {kind for kind in OPERATORS if not issubclass(kind, GoldenOnly)}
