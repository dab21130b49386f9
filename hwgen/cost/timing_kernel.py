"""The innermost loops of the schedule: how far actors can be advanced, and in which cycles that happens.

Everything is laid out in flat arrays, which :class:`hwgen.cost.timing_engine.Engine` fills and keeps;
:mod:`hwgen.cost.timing_layout` has their columns. This is imported where it is first run: numba takes half a second.
"""

from typing import Any

from numba import njit

from hwgen.cost.timing_layout import (
    BUSY,
    CAPACITY,
    CONSUMER,
    CREDIT_DELAY,
    DELAY,
    END_GIVE,
    END_TAKE,
    FIRST_GIVE,
    FIRST_TAKE,
    FREED,
    GIVE,
    LATENCY,
    LINK,
    MOVED,
    NEED,
    NO_END,
    OFFERED,
    PRODUCER,
    QUEUE,
    RELEASE,
    RESERVE,
    SPACING,
    STARTS,
    STEPS,
)

# References to arrays are not counted inside, and nothing is called: both took longer than the evaluation itself.
_UNCOUNTED: dict[str, Any] = {"_nrt": False}  # an option that numba has not told type checkers of
_compiled = njit(cache=True, nogil=True, **_UNCOUNTED)
_inlined = njit(cache=True, nogil=True, forceinline=True, **_UNCOUNTED)


@_compiled
def evaluate(actors, takes, gives, links, values, offered, moved, freed, starts, known, gone, free, due, begun,
             free_at, latest):  # fmt: skip
    """Advance actors until none can; returns False, and is not done, where cycles are not below ``latest``."""
    pending = True
    while pending:
        pending = False
        for actor in range(len(actors)):
            if not due[actor]:
                continue
            due[actor] = False
            if not _advance(actors, actor, takes, gives, links, values, offered, moved, freed, starts, known, gone,
                            free, begun, free_at):  # fmt: skip
                continue
            if free_at[actor] >= latest:
                return False
            pending = True
            for t in range(actors[actor, FIRST_TAKE], actors[actor, END_TAKE]):
                if links[takes[t, LINK], PRODUCER] >= 0:
                    due[links[takes[t, LINK], PRODUCER]] = True
            for g in range(actors[actor, FIRST_GIVE], actors[actor, END_GIVE]):
                if links[gives[g, LINK], CONSUMER] >= 0:
                    due[links[gives[g, LINK], CONSUMER]] = True
    return True


@_inlined
def _advance(actors, actor, takes, gives, links, values, offered, moved, freed, starts, known, gone, free, begun,
             free_at):  # fmt: skip
    """Move beats into the buffers of an actor and start steps, as far as can be; returns whether anything was done."""
    done = False
    while True:
        for t in range(actors[actor, FIRST_TAKE], actors[actor, END_TAKE]):
            if takes[t, CAPACITY]:
                done |= _store(takes, t, links, offered, moved, freed, known, gone, free)
        first = begun[actor]
        end = _startable(actors, actor, first, takes, gives, values, known, gone)
        if end == first:
            return done
        done = True
        begun[actor] = end
        begin, busy = actors[actor, STARTS], actors[actor, BUSY]
        for k in range(first, end):
            starts[begin + k] = 0
        for t in range(actors[actor, FIRST_TAKE], actors[actor, END_TAKE]):
            if takes[t, CAPACITY]:
                _wait(starts, begin, first, end, moved, links[takes[t, LINK], MOVED] - 1, values, takes[t, NEED],
                      takes[t, DELAY])  # fmt: skip
            else:
                _wait(starts, begin, first, end, offered, links[takes[t, LINK], OFFERED] - 1, values, takes[t, NEED],
                      takes[t, DELAY])  # fmt: skip
        for g in range(actors[actor, FIRST_GIVE], actors[actor, END_GIVE]):
            if gives[g, QUEUE] < NO_END:
                _wait(starts, begin, first, end, moved, links[gives[g, LINK], MOVED] - gives[g, QUEUE] - 1, values,
                      gives[g, RESERVE], gives[g, CREDIT_DELAY])  # fmt: skip
        free_step = free_at[actor]
        for k in range(first, end):
            free_step = max(starts[begin + k], free_step)
            starts[begin + k] = free_step
            free_step += _cycles(values, busy, k)
        free_at[actor] = free_step
        for t in range(actors[actor, FIRST_TAKE], actors[actor, END_TAKE]):
            if takes[t, CAPACITY]:
                _release(takes, t, first, end, begin, busy, values, starts, freed, free)
            else:
                _take(takes, t, first, end, begin, links, values, starts, moved, gone)
        for g in range(actors[actor, FIRST_GIVE], actors[actor, END_GIVE]):
            _offer(gives, g, first, end, begin, busy, links, values, starts, offered, moved, known, gone)


@_inlined
def _count(values, at, k):
    return k + 1 if at < 0 else values[at + k]


@_inlined
def _cycles(values, at, k):
    return -at if at < 0 else values[at + k]


@_inlined
def _store(takes, t, links, offered, moved, freed, known, gone, free):
    """Move beats into a buffer while there are places for them; returns whether any moved."""
    link = takes[t, LINK]
    x, y, z = links[link, OFFERED], links[link, MOVED], takes[t, FREED] - takes[t, CAPACITY]
    first, end = gone[link], min(known[link], free[t] + takes[t, CAPACITY])
    last = moved[y + first - 1]
    for n in range(first, end):
        last = max(last + 1, offered[x + n], freed[z + n])
        moved[y + n] = last
    gone[link] = max(first, end)
    return end > first


@_inlined
def _startable(actors, actor, first, takes, gives, values, known, gone):
    """The first step after ``first`` for which something is not known yet."""
    end = actors[actor, STEPS]
    for t in range(actors[actor, FIRST_TAKE], actors[actor, END_TAKE]):
        link = takes[t, LINK]
        end = _until(values, takes[t, NEED], first, end, gone[link] if takes[t, CAPACITY] else known[link])
    for g in range(actors[actor, FIRST_GIVE], actors[actor, END_GIVE]):
        end = _until(values, gives[g, RESERVE], first, end, gives[g, QUEUE] + gone[gives[g, LINK]])
    return end


@_inlined
def _until(values, at, first, end, limit):
    """The first place in ``first`` to ``end`` whose value, none being less than that before, is over ``limit``."""
    if at < 0:
        return max(first, min(end, limit))
    span = 1
    while first < end:
        probe = min(first + span, end) - 1
        if values[at + probe] <= limit:
            first, span = probe + 1, 2 * span
        elif span == 1:
            return first
        else:
            end, span = probe, 1 if span < 4 else span // 4
    return end


@_inlined
def _wait(starts, begin, first, end, cycles, base, values, index, delay):
    """Let steps start no earlier than ``delay`` after what they wait for."""
    for k in range(first, end):
        starts[begin + k] = max(starts[begin + k], cycles[base + _count(values, index, k)] + delay)


@_inlined
def _take(takes, t, first, end, begin, links, values, starts, moved, gone):
    """Take what steps need as they start."""
    link, need, lead = takes[t, LINK], takes[t, NEED], takes[t, DELAY]
    y, count = links[link, MOVED] - 1, gone[link]
    for k in range(first, end):
        if _count(values, need, k) > count:
            count = _count(values, need, k)
            moved[y + count] = starts[begin + k] - lead
    gone[link] = count


@_inlined
def _release(takes, t, first, end, begin, busy, values, starts, freed, free):
    """Set places free as steps end."""
    release, z, count = takes[t, RELEASE], takes[t, FREED], free[t]
    for k in range(first, end):
        end_freed = _count(values, release, k)
        for n in range(count, end_freed):
            freed[z + n] = starts[begin + k] + _cycles(values, busy, k)
        count = max(count, end_freed)
    free[t] = count


@_inlined
def _offer(gives, g, first, end, begin, busy, links, values, starts, offered, moved, known, gone):
    """Offer what steps give; a sink outside takes it at once."""
    link, upto, latency, spacing = gives[g, LINK], gives[g, GIVE], gives[g, LATENCY], gives[g, SPACING]
    x, y, before = links[link, OFFERED], links[link, MOVED], known[link]
    count = before
    for k in range(first, end):
        cycle = starts[begin + k] + _cycles(values, busy, k) + latency
        end_given = _count(values, upto, k)
        for n in range(count, end_given):
            offered[x + n] = cycle
            cycle += spacing
        count = max(count, end_given)
    known[link] = count
    if links[link, CONSUMER] < 0:
        last = moved[y + before - 1]
        for n in range(before, count):
            last = max(last + 1, offered[x + n])
            moved[y + n] = last
        gone[link] = count


@_compiled
def places_used(reserve, starts, delay, left, moved):
    """The most places of a queue that steps hold as they start, and how many beats the last of them saw gone.

    ``left`` and ``moved`` are the cycles in which the beats of earlier frames and of this one moved.
    """
    most, gone, before = 0, 0, len(left)
    for k in range(len(starts)):
        limit = starts[k] - delay
        while gone < before and left[gone] <= limit:
            gone += 1
        if gone >= before:
            while gone < before + len(moved) and moved[gone - before] <= limit:
                gone += 1
        most = max(most, reserve[k] + before - gone)
    return most, gone
