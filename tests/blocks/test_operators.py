"""Every unit: operators with every kind of folding, and joints, through the one harness."""

import re
from collections import Counter

import pytest

from hwgen.blocks import OPERATORS, PARTS
from hwgen.blocks.joints.convert import WidthConverter
from hwgen.blocks.joints.fork import Fork
from hwgen.blocks.joints.queue import StreamQueue
from hwgen.blocks.joints.rows import RowFork, WindowRows
from hwgen.blocks.mac.mac import MacUnit
from hwgen.blocks.mac.tapped import RowConv
from hwgen.blocks.operator import GoldenOnly, OperatorUnit
from hwgen.cost.needs import MemoryNeed
from hwgen.hdl.formal import prove_contract
from hwgen.hdl.rtlil import to_rtlil
from hwgen.memory.rom import LOGIC_DEPTH
from hwgen.testing import check_unit

from .cases import CASES, kind


def one_of_each_soon():
    """All cases; those of an operator and a way to feed it that stand behind another one are slow."""
    seen = set()
    for name, unit in CASES:
        folding = getattr(unit, "folding", None)
        fed = (kind(unit), type(unit), type(folding), getattr(folding, "window", None))
        yield pytest.param(unit, id=name, marks=[pytest.mark.slow] if fed in seen else [])
        seen.add(fed)


each = pytest.mark.parametrize("unit", list(one_of_each_soon()))
each_mac = pytest.mark.parametrize("unit", [case for case in one_of_each_soon() if isinstance(case.values[0], MacUnit)])


@each
def test_golden_stalls_and_exact_cycles(unit):
    check_unit(unit)


@each
def test_stream_contract_is_proved(unit):
    prove_contract(unit.block())


@each_mac
def test_the_folding_is_one_that_can_be_planned(unit):
    assert unit.problems() == []


@each_mac
def test_memories_and_multipliers_are_those_of_the_block(unit):
    text, cost = to_rtlil(unit.block(), "top"), unit.cost
    memories, multipliers = contents(dict(re.findall(r"^module (\S+)\n(.*?)^end$", text, re.DOTALL | re.MULTILINE)))
    assert memories == Counter((need.width, need.depth) for need in cost.memories if not few_words(need))
    assert multipliers == sum(products.count for products in cost.products if not products.luts)


def few_words(need: MemoryNeed) -> bool:
    """Whether it is no memory in the netlist."""
    return need.style == "logic" and need.depth <= LOGIC_DEPTH


def contents(modules: dict[str, str], name: str = "\\top") -> tuple[Counter, int]:
    """Memories (width, depth) and multipliers of a module and of all instances in it."""
    text = modules[name]
    memories = Counter((int(width), int(depth)) for width, depth in re.findall(r"memory width (\d+) size (\d+)", text))
    pairs = re.findall(r"cell \$mul .*?connect \\A (.*?)\n\s*connect \\B (.*?)\n", text, re.DOTALL)
    constant = re.compile(r"\d+'")  # multiplied by shifts and adders
    multipliers = sum(not (constant.match(a) or constant.match(b)) for a, b in pairs)
    for cell in re.findall(r"cell (\\\S+) ", text):
        inner = contents(modules, cell)
        memories, multipliers = memories + inner[0], multipliers + inner[1]
    return memories, multipliers


def test_every_operator_has_a_case():
    operators = {type(unit.op) for _, unit in CASES if isinstance(unit, OperatorUnit)}
    assert operators == {kind for kind in (*OPERATORS, *PARTS) if not issubclass(kind, GoldenOnly)}
    assert {type(unit) for _, unit in CASES} >= {Fork, StreamQueue, WidthConverter, RowFork, WindowRows, RowConv}
