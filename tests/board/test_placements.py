"""Several placements: which one is taken, and what becomes of the others."""

import threading
import time

import pytest

from hwgen.board.placements import Placed, Placements
from hwgen.device.clocks import Clock
from hwgen.graph.errors import FitError


def placements(folder, reached, delays=()):
    """Placements that reach these clocks, after as many seconds; and the clocks that were told to be missed."""
    (folder / "netlist.json").write_text("{}")
    begun, missed = [], []

    def place(where, seed, stop):
        begun.append(seed)
        assert (where / "netlist.json").read_text() == "{}"
        if seed <= len(delays):
            stop.wait(delays[seed - 1])
        return Placed(where, Clock(reached[seed - 1]), {"seed": seed})

    return Placements(folder, place, Clock(100), lambda best: missed.append(best.hz)), begun, missed


def test_the_first_that_reaches_the_clock_is_taken(tmp_path):
    made, begun, missed = placements(tmp_path, [90.0, 95.0, 101.0, 120.0])
    assert made.best(4, jobs=1).report == {"seed": 3}
    assert missed == [90.0, 95.0]
    assert 1 <= begun[-1] <= 4


@pytest.mark.parametrize("delays", [(0.3, 0.0), (0.0, 0.3)])
def test_it_is_the_same_one_whichever_ends_first(tmp_path, delays):
    made, _, _ = placements(tmp_path, [101.0, 120.0], delays)
    assert made.best(2, jobs=2).report == {"seed": 1}


def test_a_later_one_is_taken_if_those_before_it_do_not_reach_it(tmp_path):
    made, _, missed = placements(tmp_path, [90.0, 120.0], (0.2, 0.0))
    assert made.best(2, jobs=2).report == {"seed": 2}
    assert missed == []


def test_the_others_are_stopped(tmp_path):
    made, _, _ = placements(tmp_path, [101.0, 101.0], (0.0, 60.0))
    began = time.monotonic()
    assert made.best(2, jobs=2).report == {"seed": 1}
    assert time.monotonic() - began < 30


def test_if_none_does_the_fastest_is_given(tmp_path):
    made, begun, missed = placements(tmp_path, [90.0, 95.0, 92.0])
    assert made.best(3, jobs=1).reached == Clock(95)
    assert sorted(begun) == [1, 2, 3]
    assert missed == [90.0, 95.0, 95.0]


def test_an_error_ends_all(tmp_path):
    begun, stopped = threading.Event(), threading.Event()

    def place(where, seed, stop):
        if seed == 1:
            begun.wait(60)
            raise FitError("too small")
        begun.set()
        stop.wait(60)
        stopped.set()
        return Placed(where, Clock(0), {})

    with pytest.raises(FitError, match="too small"):
        Placements(tmp_path, place, Clock(100), lambda best: None).best(2, jobs=2)
    assert stopped.is_set()
