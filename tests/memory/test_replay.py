"""Beats that are read once and given several times: in order, each in its cycle."""

import numpy as np
import pytest

from hwgen.cost.timing import Web
from hwgen.hdl.formal import prove_contract
from hwgen.memory.dram.replay import Replay, ReplayPlan, Section
from hwgen.testing import Simulated

PLANS = {
    "once": ReplayPlan((Section(2, 1, 3, 1),), 1, 4),
    "again": ReplayPlan((Section(3, 2, 5, 3),), 1, 7),
    "just room": ReplayPlan((Section(2, 1, 5, 2),), 1, 5),
    "sections": ReplayPlan((Section(1, 1, 4, 2), Section(2, 3, 2, 1), Section(1, 2, 6, 4)), 2, 16),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("stall", [None, 1])
def test_beats_are_given_again_in_their_cycles(plan, stall):
    frames, read = 3, sum(section.read for section in plan.sections)
    beats = np.random.default_rng(0).integers(0, 1 << 8 * plan.bus, (frames, read))
    replay = Replay(plan)
    taken, given = Simulated(replay)({"i": beats.ravel().tolist()}, {"o": frames * len(plan.order)}, stall)
    assert given["o"].payloads == tuple(beats[:, plan.order].ravel().tolist())
    if stall is None:
        web = Web()
        source = web.link()
        (sink,) = web.add([plan.actor], [source])
        run = web.run(frames)
        np.testing.assert_array_equal(taken["i"].cycles, run.moved[source][: len(taken["i"].cycles)])
        np.testing.assert_array_equal(given["o"].cycles, run.moved[sink])


def test_its_streams_keep_the_contract():
    prove_contract(Replay(PLANS["sections"]))


def test_what_is_given_again_must_fit():
    with pytest.raises(ValueError, match="4 places do not hold the 5 beats"):
        Replay(ReplayPlan((Section(1, 1, 5, 2),), 1, 4))
