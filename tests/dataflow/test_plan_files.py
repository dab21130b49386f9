"""Plans that were edited wrongly: words that name the file and the place, never a traceback."""

import json

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from hwgen.dataflow.plan_file import schema
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.search.search import search
from hwgen.graph.errors import InputError

from .nets import random_network

WRONG = (None, -1, 0, 7, 10**30, 1.5, "x", [], {}, [[1]], True)


def places(value, path=()):
    """Paths to everything in JSON data."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    yield path
    for key, part in inner:
        yield from places(part, (*path, key))


def mutation(data, rng):
    """``data`` with one thing replaced or taken out."""
    copy = json.loads(json.dumps(data))
    found = list(places(copy))[1:]
    *path, last = found[rng.integers(len(found))]
    holder = copy
    for key in path:
        holder = holder[key]
    if rng.integers(4) == 0:
        del holder[last]
    else:
        holder[last] = WRONG[rng.integers(len(WRONG))]
    return copy


@pytest.mark.parametrize("seed", range(3))
def test_any_mutilated_plan_is_read_or_refused_in_words(seed):
    network, rng = random_network(seed), np.random.default_rng(seed)
    data = json.loads(search(network).to_json())
    valid = Draft202012Validator(schema())
    lines = []
    for _ in range(25):
        changed = mutation(data, rng)
        try:
            parse_plan(network, json.dumps(changed), "build/x/plan.json")
            assert valid.is_valid(changed)
        except InputError as error:
            lines += error.problems
    assert len(lines) > 5
    assert all(line.startswith("build/x/plan.json: ") for line in lines)


@pytest.mark.parametrize("text", ["", "[" * 100000, "[]", "null", "{}", '{"layers": [1]}', '{"layers": {"a": 1}}'])
def test_what_is_no_plan_is_said(text):
    with pytest.raises(InputError, match=r"^f\.json: not a plan file"):
        parse_plan(random_network(0), text, "f.json")


def test_the_place_in_the_file_is_named():
    network = random_network(0)
    data = json.loads(search(network).to_json())
    del data["layers"][0]["settings"]
    with pytest.raises(InputError, match=r"^f\.json: layers\[0\], layer '.*': 'settings' is missing$"):
        parse_plan(network, json.dumps(data), "f.json")
