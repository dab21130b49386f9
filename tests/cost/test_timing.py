"""The max-plus recurrences on chains small enough to follow by hand."""

import numpy as np
import pytest

from hwgen.cost.actor import Actor, Give, Take, counting
from hwgen.cost.timing import Deadlock, Web, run

from .timing_reference import NoEnd, Reference


def actor(busy=1, latency=1, queue=4, beats=3):
    steps = np.arange(1, beats + 1)
    return Actor("unit", np.full(beats, busy), (Take(steps),), (Give(steps, latency, queue, credit_delay=1),))


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
    both = np.array([2, 4])
    unit = Actor("unit", np.array([3, 3]), (Take(both, both, 2),), (Give(np.array([1, 2]), 1, 8),))
    result = run((unit,), frames=1)
    assert result.moved[0].tolist() == [0, 1, 6, 7]
    assert result.starts[0].tolist() == [3, 9]


def test_a_buffer_that_never_suffices_deadlocks():
    unit = Actor("unit", np.array([1]), (Take(np.array([3]), np.array([3]), 2),), (Give(np.array([1]), 1, 8),))
    with pytest.raises(Deadlock, match="deadlocks at unit"):
        run((unit,), frames=1)


def fork_and_join(queue: int) -> Web:
    """A fork, one branch straight to a join, the other through an actor that needs three beats before it gives."""
    beats = np.arange(1, 13)
    ones = np.ones_like(beats)
    web = Web()
    gives = tuple(Give(beats, 1, depth, credit_delay=1) for depth in (queue, 4))
    short, long = web.add([Actor("fork", ones, (Take(beats),), gives)], [web.link()])
    late = Actor("late", ones, (Take(np.minimum(beats + 2, 12), beats, 8),), (Give(beats, 1, 4),))
    (delayed,) = web.add([late], [long])
    web.add([Actor("join", ones, (Take(beats), Take(beats)), (Give(beats, 1, 4),))], [short, delayed])
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


def random_web(seed: int) -> Web:
    """Actors of all kinds: buffered and direct, that gather and that spread, with forks and joins."""
    generator = np.random.default_rng(seed)

    def number(low, high):
        return int(generator.integers(low, high, endpoint=True))

    def rising(steps, end):
        """A number up to and including each step, that ends with ``end``."""
        return np.append(np.sort(generator.integers(0, end, steps - 1, endpoint=True)), end)

    def give(steps):
        """Beats given, at most three in a step."""
        return np.cumsum([*generator.integers(0, 3, steps - 1, endpoint=True), 1])

    web, frames = Web(), number(3, 7)
    beats = {web.link(): frames}
    for n in range(number(2, 6)):
        (link, count), *rest = beats.items()
        steps = number(2, 10)
        if generator.random() < 0.5:  # buffered
            need = np.maximum(rising(steps, count), 1)
            release = np.minimum(rising(steps, count), need)
            release[-1] = count
            span = int((need - np.append(0, release[:-1])).max())
            take = Take(need, release, span + number(0, 3))
        else:
            steps = count
            take = Take(counting(count) if seed % 2 else np.arange(1, count + 1), lead=number(0, 2))
        busy = np.full(steps, number(1, 3)) if generator.random() < 0.5 else generator.integers(1, 4, steps)
        takes, links = [take], [link]
        gives = [Give(give(steps), number(0, 3), number(3, 12), credit_delay=number(1, 2), spacing=number(1, 2))]
        if generator.random() < 0.4:
            gives.append(Give(give(steps), number(0, 3), number(3, 9), credit_delay=number(1, 2)))
        if rest:
            (other, others), *_ = rest
            if others <= steps:
                need = np.append(np.arange(1, others), np.full(steps - others + 1, others))
                takes.append(Take(need, lead=1 if take.capacity else take.lead))
                links, rest = [link, other], rest[1:]
        given = web.add([Actor(f"a{n}", busy, tuple(takes), tuple(gives))], links)
        beats = dict(rest) | {at: port.beats for at, port in zip(given, gives, strict=True)}
    return web


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("pace", [0, 70])
def test_every_cycle_is_what_the_recurrences_say(seed, pace):
    web, frames = random_web(seed), 3
    beats = web.beats
    offers = {link: np.concatenate([np.arange(beats[link]) * pace // beats[link] + frame * pace
                                    for frame in range(frames)]) for link in web.ends[0]}  # fmt: skip
    try:
        want = Reference(web.actors, web.takes, web.gives, beats, offers, frames)
    except NoEnd:
        with pytest.raises(Deadlock):
            web.run(frames, pace)
        return
    got = web.run(frames, pace)
    for link in range(len(beats)):
        assert got.moved[link].tolist() == want.moved[link].tolist()
        assert got.offered[link].tolist() == want.offered[link].tolist()
    assert [starts.tolist() for starts in got.starts] == [starts.tolist() for starts in want.starts]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_periodic_goes_on_as_it_did(seed):
    web = random_web(seed)
    try:
        settled = web.settle()
    except Deadlock:
        return
    longer = web.run(settled.frames + 6)
    assert settled.frame_ends.tolist() == longer.frame_ends[: settled.frames].tolist()
    if settled.periodic:
        assert set(np.diff(longer.frame_ends)[settled.frames - 2 :]) == {settled.interval}


@pytest.mark.slow
def test_cycles_beyond_32_bits_are_the_same_but_wider(monkeypatch):
    short = fork_and_join(8).run(4, pace=36)
    monkeypatch.setattr("hwgen.cost.timing_engine.LATEST", 100)
    wide = fork_and_join(8).run(4, pace=36)
    assert all(wide.moved[link].tolist() == cycles.tolist() for link, cycles in short.moved.items())
    slow = run((actor(busy=1 << 31), actor(busy=5)), frames=2)
    assert slow.interval == 3 << 31
