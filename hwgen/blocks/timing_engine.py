"""The evaluation of max-plus recurrences, compiled: millions of steps a second.

Everything is laid out in flat int64 arrays for numba. An actor is advanced as far as what is known of its
neighbours allows; whoever it gave something to know is looked at again. The order does not matter: each event has
but one earliest cycle.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from .timing import Actor

# Columns of the tables. Places are indices into the array `beats`; -1 stands for none.
_FIRST_TAKE, _END_TAKE, _FIRST_GIVE, _END_GIVE, _STEPS, _BUSY, _STARTS = range(7)
_LINK, _NEED, _RELEASE, _CAPACITY, _START_DELAY, _LEAD, _TAKEN = range(7)
_GIVE, _RESERVE, _LATENCY, _QUEUE, _CREDIT_DELAY, _SPACING, _GIVEN = range(1, 8)
_AT, _PRODUCER, _CONSUMER = range(3)


class _Flat:
    """Arrays one after the other."""

    def __init__(self):
        self.parts: list[np.ndarray] = []
        self.places: dict[int, int] = {}
        self.length = 0

    def add(self, array: np.ndarray) -> int:
        if id(array) not in self.places:
            self.places[id(array)] = self.length
            self.parts.append(np.ascontiguousarray(array, np.int64))
            self.length += len(array)
        return self.places[id(array)]

    def joined(self) -> np.ndarray:
        return np.concatenate(self.parts)


def evaluate(
    actors: Sequence["Actor"],
    takes: Sequence[Sequence[int]],
    gives: Sequence[Sequence[int]],
    beats: Sequence[int],
    offers: Mapping[int, np.ndarray],
    frames: int,
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Cycles [beats] in which beats were offered on and moved over each link, and [steps] in which steps began.

    ``takes`` and ``gives`` hold the links of each actor's inputs and outputs, ``beats`` those of a frame on each
    link, ``offers`` when the links from outside offer theirs. After a deadlock what began is shorter.
    """
    flat, actor_table, take_table, give_table = _Flat(), [], [], []
    kept = [(actor.takes, actor.gives) for actor in actors]  # alive, so that no two arrays have one identity
    links = np.full((len(beats), 3), -1, np.int64)
    links[:, _AT] = np.append(0, np.cumsum(beats)[:-1]) * frames
    started = 0
    for n, (actor, (taken, given)) in enumerate(zip(actors, kept, strict=True)):
        first = len(take_table), len(give_table)
        for link, port in zip(takes[n], taken, strict=True):
            release = -1 if port.release is None else flat.add(port.release)
            take_table.append(
                (link, flat.add(port.need), release, port.capacity, port.start_delay, port.lead, port.beats)
            )
            links[link, _CONSUMER] = n
        for link, port in zip(gives[n], given, strict=True):
            reserve = flat.add(port.give if port.reserve is None else port.reserve)
            timing = port.latency, port.queue, port.credit_delay, port.spacing
            give_table.append((link, flat.add(port.give), reserve, *timing, port.beats))
            links[link, _PRODUCER] = n
        ends = first[0], len(take_table), first[1], len(give_table)
        actor_table.append((*ends, actor.steps, flat.add(actor.busy), started))
        started += actor.steps * frames
    total = int(sum(beats)) * frames
    offered, moved, starts = np.zeros(total, np.int64), np.zeros(total, np.int64), np.zeros(started, np.int64)
    known = np.zeros(len(beats), np.int64)
    for link, cycles in offers.items():
        at = links[link, _AT]
        offered[at : at + len(cycles)] = cycles
        known[link] = len(cycles)
    tables = (np.array(table, np.int64) for table in (actor_table, take_table, give_table))
    begun = _run(*tables, links, flat.joined(), offered, known, moved, starts, frames)
    ends = links[:, _AT] + np.array(beats) * frames
    return (
        tuple(offered[at:end] for at, end in zip(links[:, _AT], ends, strict=True)),
        tuple(moved[at:end] for at, end in zip(links[:, _AT], ends, strict=True)),
        tuple(starts[row[_STARTS] : row[_STARTS] + n] for row, n in zip(actor_table, begun, strict=True)),
    )


@njit(cache=True, nogil=True)
def _run(actors, takes, gives, links, beats, offered, known, moved, starts, frames):
    """Advance actors until none can; returns how many steps each began."""
    count = len(actors)
    begun, free_at = np.zeros(count, np.int64), np.zeros(count, np.int64)
    gone, released = np.zeros(len(links), np.int64), np.zeros(len(takes), np.int64)
    waiting, is_waiting = np.arange(count), np.ones(count, np.bool_)
    head, length = 0, count
    while length:
        actor = waiting[head]
        head, length = (head + 1) % count, length - 1
        is_waiting[actor] = False
        row = actors[actor]
        before = begun[actor]
        arrivals = 0
        single = row[_END_TAKE] - row[_FIRST_TAKE] == 1 and row[_END_GIVE] - row[_FIRST_GIVE] == 1
        if single:
            arrivals = _advance_single(row, actor, takes, gives, links, beats, offered, known, moved, starts, gone,
                                       released, begun, free_at, frames)  # fmt: skip
        while not single:
            for t in range(row[_FIRST_TAKE], row[_END_TAKE]):
                if takes[t, _CAPACITY]:
                    arrivals += _store(t, row, actor, takes, links, beats, offered, known, moved, starts, gone,
                                       released, begun)  # fmt: skip
            if begun[actor] >= row[_STEPS] * frames:
                break
            if not _start(row, actor, takes, gives, links, beats, offered, known, moved, starts, gone, begun,
                          free_at):  # fmt: skip
                break
        if arrivals == 0 and begun[actor] == before:
            continue
        for t in range(row[_FIRST_TAKE], row[_END_TAKE]):
            length = _wake(links[takes[t, _LINK], _PRODUCER], waiting, is_waiting, head, length)
        for g in range(row[_FIRST_GIVE], row[_END_GIVE]):
            length = _wake(links[gives[g, _LINK], _CONSUMER], waiting, is_waiting, head, length)
    return begun


@njit(cache=True, nogil=True)
def _advance_single(row, actor, takes, gives, links, beats, offered, known, moved, starts, gone, released, begun,
                    free_at, frames):  # fmt: skip
    """What the general loop does, for an actor with one input and one output: everything at hand in locals.

    Returns how many beats were stored.
    """
    take, give = takes[row[_FIRST_TAKE]], gives[row[_FIRST_GIVE]]
    source, sink = take[_LINK], give[_LINK]
    x, y = links[source, _AT], links[sink, _AT]
    steps, busy, begin = row[_STEPS], row[_BUSY], row[_STARTS]
    need, release, reserve, gives_up_to = take[_NEED], take[_RELEASE], give[_RESERVE], give[_GIVE]
    capacity, start_delay, lead, queue = take[_CAPACITY], take[_START_DELAY], take[_LEAD], give[_QUEUE]
    latency, credit_delay, spacing = give[_LATENCY], give[_CREDIT_DELAY], give[_SPACING]
    taken, given, drains = take[_TAKEN], give[_GIVEN], links[sink, _CONSUMER] < 0
    arrived, coming, left, going = gone[source], known[source], gone[sink], known[sink]
    k, free, first = begun[actor], free_at[actor], gone[source]
    total = steps * frames
    frame, step = divmod(k, steps)
    done = released[row[_FIRST_TAKE]]
    done_frame, done_step = divmod(done, steps)
    last_stored = moved[x + arrived - 1] if arrived else -1
    last_left = moved[y + left - 1] if left else -1
    while True:
        if capacity:
            while arrived < coming:
                cycle = max(offered[x + arrived], last_stored + 1)
                if arrived >= capacity:
                    while done < k and beats[release + done_step] + done_frame * taken <= arrived - capacity:
                        done += 1
                        done_step += 1
                        if done_step == steps:
                            done_step, done_frame = 0, done_frame + 1
                    if done >= k:
                        break
                    cycle = max(cycle, starts[begin + done] + beats[busy + done_step])
                moved[x + arrived] = cycle
                last_stored = cycle
                arrived += 1
        if k >= total:
            break
        start = free
        credit = beats[reserve + step] + frame * given - queue - 1
        if credit >= left:
            break
        if credit >= 0:
            start = max(start, moved[y + credit] + credit_delay)
        last = beats[need + step] + frame * taken - 1
        if capacity:
            if last >= arrived:
                break
            start = max(start, (moved[x + last] if last >= 0 else -1) + start_delay)
        elif last >= arrived:
            if last >= coming:
                break
            start = max(start, max(offered[x + last], last_stored + 1) + lead)
            last_stored = start - lead
            moved[x + last] = last_stored
            arrived = last + 1
        starts[begin + k] = start
        free = start + beats[busy + step]
        end = beats[gives_up_to + step] + frame * given
        cycle = free + latency
        while going < end:
            offered[y + going] = cycle
            if drains:
                last_left = max(cycle, last_left + 1)
                moved[y + going] = last_left
                left += 1
            cycle += spacing
            going += 1
        k += 1
        step += 1
        if step == steps:
            step, frame = 0, frame + 1
    gone[source], known[sink], gone[sink] = arrived, going, left
    begun[actor], free_at[actor], released[row[_FIRST_TAKE]] = k, free, done
    return arrived - first


@njit(cache=True, nogil=True)
def _wake(actor, waiting, is_waiting, head, length):
    """Put a neighbour, if there is one, at the end of the ring of those to look at; returns how many there are."""
    if actor < 0 or is_waiting[actor]:
        return length
    waiting[(head + length) % len(waiting)] = actor
    is_waiting[actor] = True
    return length + 1


@njit(cache=True, nogil=True)
def _store(t, row, actor, takes, links, beats, offered, known, moved, starts, gone, released, begun):
    """Move beats into the buffer of input ``t`` while there is a place for them; returns how many."""
    link, capacity, steps = takes[t, _LINK], takes[t, _CAPACITY], row[_STEPS]
    at, first = links[link, _AT], gone[link]
    n = first
    while n < known[link]:
        cycle = offered[at + n]
        if n >= capacity:
            while released[t] < begun[actor]:
                frame, step = divmod(released[t], steps)
                if beats[takes[t, _RELEASE] + step] + frame * takes[t, _TAKEN] > n - capacity:
                    break
                released[t] += 1
            if released[t] >= begun[actor]:
                break
            cycle = max(cycle, starts[row[_STARTS] + released[t]] + beats[row[_BUSY] + released[t] % steps])
        if n:
            cycle = max(cycle, moved[at + n - 1] + 1)
        moved[at + n] = cycle
        n += 1
    gone[link] = n
    return n - first


@njit(cache=True, nogil=True)
def _start(row, actor, takes, gives, links, beats, offered, known, moved, starts, gone, begun, free_at):
    """Start the next step if all is known that it waits for."""
    frame, step = divmod(begun[actor], row[_STEPS])
    start = free_at[actor]
    for g in range(row[_FIRST_GIVE], row[_END_GIVE]):
        link = gives[g, _LINK]
        credit = beats[gives[g, _RESERVE] + step] + frame * gives[g, _GIVEN] - gives[g, _QUEUE] - 1
        if credit >= gone[link]:
            return False
        if credit >= 0:
            start = max(start, moved[links[link, _AT] + credit] + gives[g, _CREDIT_DELAY])
    for t in range(row[_FIRST_TAKE], row[_END_TAKE]):
        link = takes[t, _LINK]
        at, last = links[link, _AT], beats[takes[t, _NEED] + step] + frame * takes[t, _TAKEN] - 1
        if takes[t, _CAPACITY]:
            if last >= gone[link]:
                return False
            stored = moved[at + last] if last >= 0 else -1
            start = max(start, stored + takes[t, _START_DELAY])
        elif last >= gone[link]:
            if last >= known[link]:
                return False
            turn = moved[at + last - 1] + 1 if last else 0
            start = max(start, max(offered[at + last], turn) + takes[t, _LEAD])
    for t in range(row[_FIRST_TAKE], row[_END_TAKE]):
        link = takes[t, _LINK]
        last = beats[takes[t, _NEED] + step] + frame * takes[t, _TAKEN] - 1
        if not takes[t, _CAPACITY] and last >= gone[link]:
            moved[links[link, _AT] + last] = start - takes[t, _LEAD]
            gone[link] = last + 1
    starts[row[_STARTS] + begun[actor]] = start
    begun[actor] += 1
    free_at[actor] = start + beats[row[_BUSY] + step]
    for g in range(row[_FIRST_GIVE], row[_END_GIVE]):
        _offer(g, frame, step, free_at[actor], gives, links, beats, offered, known, moved, gone)
    return True


@njit(cache=True, nogil=True)
def _offer(g, frame, step, done, gives, links, beats, offered, known, moved, gone):
    """Offer what a step that was ``done`` gives; a sink outside takes it at once."""
    link = gives[g, _LINK]
    at, n = links[link, _AT], known[link]
    end = beats[gives[g, _GIVE] + step] + frame * gives[g, _GIVEN]
    cycle = done + gives[g, _LATENCY]
    while n < end:
        offered[at + n] = cycle
        if links[link, _CONSUMER] < 0:
            moved[at + n] = max(cycle, moved[at + n - 1] + 1) if n else cycle
            gone[link] = n + 1
        cycle += gives[g, _SPACING]
        n += 1
    known[link] = n
