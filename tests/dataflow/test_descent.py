"""The least target that something reaches, and how few are tried for it."""

import pytest

from hwgen.dataflow.search.descent import Descent


def tried(descent, targets, least):
    """What is found, and the targets tried, where ``least`` and whatever is above it is reached."""
    seen = []

    def reach(target):
        seen.append(target)
        return target if target >= least else None

    return descent.least(targets, reach), seen


@pytest.mark.parametrize("least", [100, 101, 137, 150, 298, 399])
def test_the_least_that_is_reached_is_found_and_found_again_at_once(least):
    descent, targets = Descent(), range(100, 400)
    found, seen = tried(descent, targets, least)
    assert found == least
    assert len(seen) <= 15
    found, seen = tried(descent, targets, least)
    assert (found, len(seen)) == (least, 1)


def test_what_fits_between_what_is_too_fast_and_what_is_too_slow_is_found():
    descent = Descent()
    assert descent.least(range(100, 400), lambda target: target if 105 <= target < 115 else None) == 105
    assert descent.least(range(100, 400), lambda target: target if 107 <= target < 115 else None) == 107


def test_where_nothing_is_reached_few_are_tried_and_then_none():
    descent = Descent()
    assert tried(descent, range(100, 400), 400) == (None, [100, 103, 106, 112, 125, 200, 399])
    assert tried(descent, range(100, 400), 400) == (None, [])
