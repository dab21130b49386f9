"""Units with other settings than those that operators offer."""

from dataclasses import replace
from typing import Any

from hwgen.blocks.operator import Operator, OperatorUnit


def unit_of(op: Operator, folding: Any) -> OperatorUnit:
    """The unit of ``op``, laid out by ``folding``."""
    return replace(next(iter(op.units())), folding=folding)
