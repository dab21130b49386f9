"""Random networks with branches: hardware and schedule agree in every stream and cycle, and in every queue."""

import pytest

from .random_branches import random_plan
from .watched import faults


@pytest.mark.parametrize("seed", range(20))
def test_hardware_and_schedule_agree(seed):
    assert faults(random_plan(seed), seed) == []
