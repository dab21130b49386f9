"""plan.json: docs/plan.md names every field and no other, and the schema that is shipped takes every plan."""

import json
import re
from dataclasses import fields
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator

from hwgen.blocks import UNITS
from hwgen.blocks.mac.mac_folding import MacFolding
from hwgen.blocks.mac.tapped import TappedConv
from hwgen.blocks.operator import LaneFolding
from hwgen.dataflow.plan import LARGEST_QUEUE
from hwgen.dataflow.plan_file import FORMAT
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.search.search import search
from hwgen.flow import compile as compiled
from hwgen.graph.errors import InputError
from hwgen.top.loading import forms_in, made_loadable, plan_text
from tests import tiny
from tests.blocks.cases import CASES
from tests.dataflow import nets
from tests.shared import ROOT

TEXT = (ROOT / "docs/plan.md").read_text(encoding="utf-8")


def documented():
    """Names in the first column of each table."""
    tables = re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]*)\|", table, re.M)))) for table in tables]


def test_every_field_is_documented(tmp_path):
    tiny.save(tmp_path / "tiny.onnx")
    plan = compiled(tmp_path / "tiny.onnx", calibration=tiny.frames(), multipliers=10).plan
    data = json.loads(plan.to_json())
    whole, layer, folding, tapped, loop = documented()
    assert whole == set(SCHEMA["properties"]) >= set(data)
    assert layer == set(SCHEMA["$defs"]["layer"]["properties"])
    assert layer >= {name for entry in data["layers"] for name in entry}
    assert folding == {field.name for field in fields(MacFolding)}
    assert tapped == set(SCHEMA["$defs"]["tapped"]["properties"])
    assert loop == set(SCHEMA["$defs"]["loop"]["properties"])
    assert {name for entry in data["layers"] for name in entry["settings"]} <= folding | {"lanes"}


def test_other_foldings_and_the_format_are_as_documented():
    assert [field.name for field in fields(LaneFolding)] == ["lanes"]
    assert f"version of this format: {FORMAT};" in TEXT


SCHEMA = json.loads((files("hwgen") / "schemas/plan.json").read_text(encoding="utf-8"))
VALID = Draft202012Validator(SCHEMA)
NETWORKS = {
    "small": nets.small,
    "separable": nets.separable,
    "squeezed": nets.squeezed,
    "residual": nets.residual,
    **{f"random {seed}": lambda seed=seed: nets.random_network(seed) for seed in range(4)},
}


def test_the_schema_is_one_and_its_numbers_are_those_of_the_plan():
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["format"]["const"] == FORMAT
    assert SCHEMA["$defs"]["layer"]["properties"]["queues"]["items"]["maximum"] == LARGEST_QUEUE
    for kind in UNITS.values():
        if kind is not TappedConv:
            properties = SCHEMA["$defs"][kind.settings_in]["properties"]
            assert list(properties) == [field.name for field in fields(kind.folds)]


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_it_takes_the_plans_of_networks(make):
    network = make()
    for multipliers in (None, 40):
        assert list(VALID.iter_errors(json.loads(search(network, multipliers=multipliers).to_json()))) == []


def test_it_takes_plans_with_loaded_weights():
    text = plan_text(search(made_loadable(nets.small())))
    assert list(VALID.iter_errors(json.loads(text))) == []
    assert {"built_for", "loadable"} <= {name for entry in json.loads(text)["layers"] for name in entry}
    assert len(forms_in(text)) == 3


def test_it_takes_every_unit_of_the_cases_which_is_read_again():
    names, seen = {kind: name for name, kind in UNITS.items()}, set()
    for unit in [unit for _, unit in CASES if type(unit) in names]:
        name = names[type(unit)]
        seen.add(name)
        entry = {"name": "x", "unit": name, "settings": unit.settings, "queues": [0] * len(unit.inputs)}
        assert list(VALID.iter_errors({"format": FORMAT, "network": "n", "layers": [entry]})) == []
        assert UNITS[name].suits(unit.op)
        assert UNITS[name].read(unit.op, json.loads(json.dumps(unit.settings))) == unit
    assert seen | {"tapped", "loop"} == set(UNITS)


def edited(data, path, value):
    """``data`` with ``value`` at ``path``; without what is there, if it is ``...``."""
    copy = json.loads(json.dumps(data))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return copy


FIRST = "layers[0], layer 'layer0'"
DAMAGED = [
    (("layers", 0, "settings", "portion"), "x", f"{FIRST}: settings.portion must be a whole number, not \"x\""),
    (("layers", 0, "settings", "portion"), True, f"{FIRST}: settings.portion must be a whole number, not true"),
    (("layers", 0, "settings", "outputs"), 0, f"{FIRST}: settings.outputs must be 1 to 1048576, not 0"),
    (("layers", 0, "settings", "outputs"), 1 << 40, f"{FIRST}: settings.outputs must be 1 to 1048576, not {1 << 40}"),
    (("layers", 0, "settings", "window"), "box",
     f'{FIRST}: settings.window must be "ring" or "columns" or "patch" or "sliding", not "box"'),
    (("layers", 0, "settings", "lanes_in"), ..., f"{FIRST}: 'settings.lanes_in' is missing"),
    (("layers", 0, "settings", "lane"), 1, f"{FIRST}: 'settings.lane' is not a field of a plan; known here: window, "),
    (("layers", 0, "settings"), [], f"{FIRST}: settings must be an object, not []"),
    (("layers", 0, "settings"), ..., f"{FIRST}: 'settings' is missing"),
    (("layers", 0, "name"), 7, "layers[0]: name must be a text, not 7"),
    (("layers", 0, "name"), ..., "layers[0]: 'name' is missing"),
    (("layers", 0, "node"), None, f"{FIRST}: node must be a text, not null"),
    (("layers", 0, "queue"), [0], f"{FIRST}: 'queue' is not a field of a plan; known here: name, node, "),
    (("layers", 0, "queues"), {}, f"{FIRST}: queues must be a list, not {{}}"),
    (("layers", 0, "queues"), [-1], f"{FIRST}: queues[0] must be 0 to 1048576, not -1"),
    (("layers", 0, "loadable"), {"shift": "x"}, f"{FIRST}: loadable.shift must be a whole number, not \"x\""),
    (("layers", 0), 5, "layers[0]: it must be an object, not 5"),
    (("network",), 5, "network must be a text, not 5"),
    (("weights",), "soft", 'weights must be "fixed" or "loadable" or "spram" or "ultraram", not "soft"'),
    (("layer",), [], "'layer' is not a field of a plan; known here: format, network, "),
    (("layers",), {}, "not a plan file (layers must be a list, not {})"),
    (("layers",), ..., "not a plan file ('layers' is missing)"),
    (("format",), 2, "format 2 is not the 3 that this version reads; build it anew"),
    (("format",), "3", "format '3' is not the 3 that this version reads; build it anew"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "words"), DAMAGED, ids=[words for *_, words in DAMAGED])
def test_what_is_damaged_is_refused_by_the_schema_and_said_with_its_place(path, value, words):
    network = nets.small()
    data = edited(json.loads(search(network).to_json()), path, value)
    assert list(VALID.iter_errors(data)) != []
    with pytest.raises(InputError) as caught:
        parse_plan(network, json.dumps(data), "f.json")
    assert caught.value.problems[0].startswith(f"f.json: {words}")


def test_what_only_the_network_tells_is_said_with_its_place():
    network = nets.small()
    data = json.loads(search(network).to_json())
    other = edited(data, ("layers", 1, "settings", "lanes"), 5)
    with pytest.raises(InputError, match=r"^f: layers\[1\], layer 'layer1': folding 5 lanes is not one of those the "
                       r"operator offers: 1 lane, 2 lanes, 3 lanes, 6 lanes$"):  # fmt: skip
        parse_plan(network, json.dumps(other), "f")
    unit = edited(data, ("layers", 0, "unit"), "max_pool")
    with pytest.raises(InputError, match=r'layer .layer0.: unit must be "mac" or "tapped" for Conv, not "max_pool"$'):
        parse_plan(network, json.dumps(unit), "f")
    kind = edited(data, ("layers", 0, "settings"), {"lanes": 1})
    with pytest.raises(InputError, match=r"'settings.window' is missing\n(.*\n)*.*'settings.lanes' is not a field"):
        parse_plan(network, json.dumps(kind), "f")
    twice = edited(data, ("layers",), [*data["layers"], data["layers"][0]])
    with pytest.raises(InputError, match=r"^f: layers\[4\], layer 'layer0': the layer stands in layers\[0\], too$"):
        parse_plan(network, json.dumps(twice), "f")
    field = json.dumps(data).replace('"queues": ', '"queues": [1], "queues": ', 1)
    with pytest.raises(InputError, match=r"^f: not a plan file \(the field 'queues' stands twice\)"):
        parse_plan(network, field, "f")


def test_bad_json_is_said_with_its_line():
    with pytest.raises(
        InputError, match=r"^f: not a plan file \(Expecting ',' delimiter: line 1 column 14 .*build writes"
    ):
        parse_plan(nets.small(), '{"format": 3 "layers": []}', "f")


def test_forms_that_lack_something_are_said_with_the_file():
    text = plan_text(search(made_loadable(nets.small())))
    data = json.loads(text)
    with pytest.raises(InputError, match=r"^f: layers\[0\], layer 'layer0': 'loadable.shift' is missing$"):
        forms_in(json.dumps(edited(data, ("layers", 0, "loadable", "shift"), ...)), "f")
    with pytest.raises(InputError, match=r"^f: layers\[0\], layer 'layer0': loadable: 'x' is no integer type"):
        forms_in(json.dumps(edited(data, ("layers", 0, "loadable", "weights"), "x")), "f")
