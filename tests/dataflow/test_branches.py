"""Random networks with branches: hardware and schedule agree in every stream and cycle, and in every queue."""

from dataclasses import replace

import pytest

from hwgen.blocks.joints.fork import Fork
from hwgen.dataflow.plan import Plan

from .random_branches import random_plan
from .watched import faults


@pytest.mark.parametrize(
    "seed", [1, 3, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 2, *range(4, 20)))]
)
def test_hardware_and_schedule_agree(seed):
    assert faults(random_plan(seed), seed) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [({"latency": 2}, "_fork.0: beats move in cycles "), ({"credit_delay": 3, "queue": 15}, "places taken")],
)
def test_a_schedule_that_is_wrong_is_found(change, words, monkeypatch):
    plan = next(plan for plan in map(random_plan, range(20)) if any(isinstance(x.unit, Fork) for x in plan.stages))
    actors = Fork.actors.func

    def changed(unit):
        (fork,) = actors(unit)
        return (replace(fork, gives=(replace(fork.gives[0], **change), *fork.gives[1:])),)

    monkeypatch.setattr(Fork, "actors", property(changed))
    assert any(words in line for line in faults(Plan(plan.network, plan.layers)))
