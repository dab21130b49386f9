"""The max-plus recurrences on chains small enough to follow by hand."""

import numpy as np
import pytest

from hwgen.blocks.timing import Actor, run


def actor(busy=1, latency=1, queue=4, beats=3, **options):
    steps = np.arange(1, beats + 1)
    return Actor("unit", steps, np.full(beats, busy), steps, latency, queue, credit_delay=1, **options)


def test_a_direct_actor_gives_after_its_latency():
    result = run((actor(),), frames=1)
    assert result.moved[0].tolist() == [0, 1, 2]
    assert result.moved[1].tolist() == [2, 3, 4]
    assert result.latency == 2


def test_the_slower_of_two_sets_the_pace():
    result = run((actor(busy=2), actor(busy=5)), frames=4)
    assert result.interval == 15


def test_a_short_queue_costs_its_round_trip():
    """With one place a beat starts when the one before has been taken: offered 4 later, free again 1 after."""
    result = run((actor(latency=3, queue=1),), frames=2)
    assert np.diff(result.moved[1]).tolist() == [5] * 5


def test_a_buffered_actor_waits_for_its_words_and_frees_them():
    unit = Actor(
        "unit", np.array([2, 4]), np.array([3, 3]), np.array([1, 2]), 1, 8, release=np.array([2, 4]), capacity=2
    )
    result = run((unit,), frames=1)
    assert result.moved[0].tolist() == [0, 1, 6, 7]
    assert result.starts[0].tolist() == [3, 9]


def test_a_buffer_that_never_suffices_deadlocks():
    unit = Actor("unit", np.array([3]), np.array([1]), np.array([1]), 1, 8, release=np.array([3]), capacity=2)
    with pytest.raises(RuntimeError, match="deadlocks at unit"):
        run((unit,), frames=1)
