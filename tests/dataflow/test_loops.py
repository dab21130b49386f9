"""Plans with layers in loops: made, written, edited, read again, refused where they cannot be."""

import json

import pytest
from jsonschema import Draft202012Validator

from hwgen.blocks import MaxPool
from hwgen.blocks.loop.programme import LoopFolding
from hwgen.dataflow.loops import alone, looped
from hwgen.dataflow.plan import Plan
from hwgen.dataflow.plan_file import schema
from hwgen.dataflow.plan_reader import parse_plan
from hwgen.dataflow.schedule import schedule
from hwgen.dataflow.search.search import search
from hwgen.graph.errors import HwgenError
from hwgen.graph.semantics.window import Window
from hwgen.graph.types import U8, FeatureMap
from hwgen.simulate.simulation import simulate
from hwgen.testing import random_frames
from hwgen.top.loading import made_loadable
from tests.blocks.cases import conv, dense, pool

from . import nets

FOLDING = LoopFolding(portion=4, outputs=4, lanes=2, positions=4, bus=8, latency=9, rate="16/3", places=128)


def network():
    """A convolution and a pooling, then three layers for a loop."""
    first = conv(FeatureMap(6, 6, 2, U8), Window((3, 3)), 4)
    second = pool(MaxPool, first.output, Window((2, 2), (2, 2)))
    third = conv(second.output, Window((2, 2), pads=(1, 0, 0, 1)), 8, seed=2)
    fourth = dense(third.output, 6, seed=3)
    return nets.chain(first, second, third, fourth, dense(fourth.output, 4, seed=4))


@pytest.fixture(scope="module")
def plan() -> Plan:
    """The last three of them in a loop."""
    return looped(search(network(), multipliers=12), "layer2", "layer4", FOLDING)


@pytest.mark.slow
def test_a_loop_stands_for_its_layers(plan):
    assert [layer.name for layer in plan.layers] == ["layer0", "layer1", "layer4"]
    assert [layer.name for layer in plan.layers[-1].covers] == ["layer2", "layer3", "layer4"]
    assert plan.readers["layer1", 0] == [("layer4", 0)]
    result = simulate(plan.network, plan, random_frames(plan.network.input.map, 2), "amaranth")
    assert result.equal
    assert result.traffic.equal
    assert result.timing.done == tuple(schedule(plan, 2).run.frame_ends)
    assert set(result.tensors) == {plan.network.input.name, *(layer.output for layer in plan.layers)}


def test_its_plan_is_read_again(plan):
    text = plan.to_json()
    assert list(Draft202012Validator(schema()).iter_errors(json.loads(text))) == []
    entry = json.loads(text)["layers"][-1]
    assert entry["covers"] == ["layer2", "layer3", "layer4"]
    assert entry["settings"]["rate"] == "16/3"
    again = parse_plan(plan.network, text)
    assert again.to_json() == text
    assert again.layers[-1].unit.folding == FOLDING


def edited(plan: Plan, entry: int = -1, **fields) -> str:
    data = json.loads(plan.to_json())
    data["layers"][entry] |= fields
    return json.dumps(data)


@pytest.mark.parametrize(
    ("entry", "fields", "problems"),
    [
        (-1, {"covers": ["layer3", "layer4"]}, ["p: layer 'layer2' of the model is missing"]),
        (
            -1,
            {"covers": ["layer1", "layer2", "layer3", "layer4"]},
            [
                "p: layers[2], layer 'layer4': layer 'layer1', which it covers, stands in layers[1], too",
            ],
        ),
        (
            -1,
            {"covers": ["layer2", "layer4", "layer3"]},
            [
                "p: layers[2], layer 'layer4': covers must name each layer once and the entry's own last, not "
                '["layer2", "layer4", "layer3"]'
            ],
        ),
        (
            -1,
            {"covers": ["layer2", "fc", "layer3", "layer4"]},
            ["p: layers[2], layer 'layer4': covers[1] 'fc' is not in the model; near are 'layer0', 'layer1', 'layer2'"],
        ),
        (
            -1,
            {"covers": ["layer3", "layer2", "layer4"]},
            ["p: layers[2], layer 'layer4': node 'layer2': it does not read 'layer3' alone; leave it out of the loop"],
        ),
        (
            -1,
            {"unit": "mac"},
            ["p: layers[2], layer 'layer4': unit must be \"loop\" for LoopedLayers, not \"mac\""],
        ),
        (
            0,
            {"unit": "loop"},
            ["p: layers[0], layer 'layer0': the unit \"loop\" needs the field 'covers', the names of its layers in "
             "order"],
        ),
        (-1, {"queues": [1, 2]}, ["p: layers[2], layer 'layer4': queues must have a depth for each of the 1 inputs, "
                                  "not [1, 2]"]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_with_its_place(plan, entry, fields, problems):
    with pytest.raises(HwgenError) as error:
        parse_plan(plan.network, edited(plan, entry, **fields), "p")
    assert list(error.value.problems) == problems


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"rate": "fast"}, """rate 'fast' is not a number of bytes a cycle over 0, as text: "8" or "16/3\""""),
        ({"rate": 8}, "settings.rate must be a text, not 8"),
        ({"lanes": 3}, "lanes 3 do not divide portion 4: a divisor of both"),
        ({"places": 3}, "places 3 do not hold a burst (limit 128 or more)"),
        ({"bus": 256}, "settings.bus must be 1 to 128, not 256"),
    ],
)
def test_settings_are_checked(plan, setting, problem):
    settings = json.loads(plan.to_json())["layers"][-1]["settings"] | setting
    with pytest.raises(HwgenError, match="layers") as error:
        parse_plan(plan.network, edited(plan, settings=settings))
    assert error.value.problems[0] == f"plan: layers[2], layer 'layer4': {problem}"


def test_layers_that_others_read_are_in_no_loop():
    residual = search(nets.residual(), multipliers=40)
    with pytest.raises(HwgenError, match="node 'layer0': its result is read by 'layer3', too; end the loop there"):
        looped(residual, "layer0", "layer2", FOLDING)
    with pytest.raises(HwgenError, match="no chain of layers leads to it from 'layer8'; loop others"):
        looped(residual, "layer8", "layer2", FOLDING)
    with pytest.raises(HwgenError, match="there is no layer 'nothing' to loop; near are"):
        looped(residual, "nothing", "layer2", FOLDING)


def test_a_loop_among_branches_has_queues_that_keep_its_rate():
    made = looped(search(nets.residual(), multipliers=40), "layer1", "layer2", FOLDING)
    assert "layer1" not in made.named
    assert schedule(made).interval == alone(made.named["layer2"].unit)


def test_loaded_weights_are_in_no_loop():
    loadable = made_loadable(network())
    with pytest.raises(HwgenError, match="weights that are loaded at run time are in no loop; take --weights fixed"):
        looped(search(loadable, multipliers=12), "layer3", "layer4", FOLDING)
