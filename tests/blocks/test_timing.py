"""The max-plus recurrences on chains small enough to follow by hand."""

import numpy as np
import pytest

from hwgen.blocks.timing import Actor, Deadlock, Give, Take, Web, run


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
    with pytest.raises(Deadlock, match="deadlocks at unit"):
        run((unit,), frames=1)


def fork_and_join(queue: int) -> Web:
    """A fork, one branch straight to a join, the other through an actor that needs three beats before it gives."""
    beats = np.arange(1, 13)
    ones = np.ones_like(beats)
    web = Web()
    short, long = web.add(
        [Actor("fork", beats, ones, beats, 1, queue, credit_delay=1, more_gives=(Give(beats, 1, 4, credit_delay=1),))],
        [web.link()],
    )
    late = Actor("late", np.minimum(beats + 2, 12), ones, beats, 1, 4, release=beats, capacity=8)
    (delayed,) = web.add([late], [long])
    web.add([Actor("join", beats, ones, beats, 1, 4, more_takes=(Take(beats),))], [short, delayed])
    return web


def test_a_join_takes_from_both_at_once():
    result = fork_and_join(8).run(2)
    straight, delayed = result.moved[1], result.moved[3]
    assert straight.tolist() == delayed.tolist()


def test_a_queue_too_short_for_the_way_round_deadlocks():
    with pytest.raises(Deadlock, match="deadlocks"):
        fork_and_join(2).run(2)


def test_a_paced_source_spreads_its_beats():
    assert fork_and_join(8).run(2, pace=36).taken.tolist() == list(range(0, 72, 3))
