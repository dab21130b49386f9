"""Every operator with every kind of folding, through the one harness."""

import pytest

from hwgen.blocks import OPERATORS
from hwgen.blocks.mac_operator import MacOperator
from hwgen.blocks.operator import GoldenOperator
from hwgen.formal import prove_contract
from hwgen.testing import check_operator

from .cases import CASES

each = pytest.mark.parametrize(("op", "folding"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])


@each
def test_golden_stalls_and_exact_cycles(op, folding):
    check_operator(op, folding)


@each
def test_stream_contract_is_proved(op, folding):
    prove_contract(op.block(folding))


@pytest.mark.parametrize(("op", "folding"), [case[1:] for case in CASES if isinstance(case[1], MacOperator)])
def test_the_folding_is_one_that_can_be_planned(op, folding):
    assert op.folding_problems(folding) == []


def test_every_operator_has_a_case():
    assert {type(op) for _, op, _ in CASES} == {kind for kind in OPERATORS if not issubclass(kind, GoldenOperator)}
