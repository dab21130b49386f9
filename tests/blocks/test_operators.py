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
from hwgen.cost.needs import Cost, MemoryNeed
from hwgen.hdl.elements import Library, Once
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


@pytest.mark.parametrize("unit", list(one_of_each_soon()))
def test_a_unit_is_golden_exact_in_its_cycles_and_proved(unit, subtests):
    """All in one, so that it is elaborated once."""
    library = Library("unit")
    with subtests.test("golden, stalls, exact cycles"):
        check_unit(unit, library=library)
    with subtests.test("stream contract"):
        prove_contract(Once(unit.block(), unit), library)
    if isinstance(unit, MacUnit):
        with subtests.test("the folding is one that can be planned"):
            assert unit.problems() == []
        with subtests.test("memories and multipliers are those of the block"):
            check_contents(to_rtlil(Once(unit.block(), unit), "top", library=library), unit.cost)


def check_contents(text: str, cost: Cost) -> None:
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
