"""Layers have short names of their own, beside the model's."""

from dataclasses import dataclass, field

import pytest

from hwgen.graph.errors import middle_cut
from hwgen.graph.layer_names import kind, named
from hwgen.graph.network import Layer
from hwgen.graph.types import FeatureMap, IntType

LONG = "model/activation/Relu;model/batch_normalization/FusedBatchNormV3;model/conv2d/Conv2D" * 2


@dataclass
class Conv:
    input: FeatureMap = field(default_factory=lambda: FeatureMap(4, 4, 8, IntType(8, True)))
    group: int = 1


class Dense:
    pass


class Add:
    pass


def layer(node: str, op) -> Layer:
    return Layer(node, op, ("x",), f"{node}_out")


def names(*pairs) -> list[str]:
    return [made.name for made in named(layer(node, op) for node, op in pairs)]


def test_kinds_are_the_words_of_the_field_and_counted_in_the_order_of_the_stream():
    made = names(
        (f"{LONG}a", Conv()), (f"{LONG}b", Conv(group=8)), (f"{LONG}c", Conv()), (f"{LONG}d", Add()), (LONG, Dense())
    )
    assert made == ["conv1", "dw1", "conv2", "add1", "fc1"]
    assert kind(Conv(FeatureMap(4, 4, 1, IntType(8, True)))) == "conv"


def test_a_short_name_of_the_model_serves_and_none_stands_for_two_layers():
    assert names(("conv1", Conv()), ("/a/Conv", Conv()), ("conv2", Conv()), ("Conv_7", Conv())) == [
        "conv1",
        "conv3",
        "conv2",
        "Conv_7",
    ]
    assert names(("/a/Conv", Conv()), ("CONV1", Conv())) == ["conv2", "CONV1"]


def test_the_model_s_name_is_kept_and_errors_name_both():
    (made,) = named([layer(LONG, Conv())])
    assert made.node == LONG
    assert made.place == f"layer 'conv1' (node '{middle_cut(LONG)}')"
    assert len(made.place) < 80
    assert layer("conv1", Conv()).place == "node 'conv1'"


@pytest.mark.parametrize("most", [10, 11, 48])
def test_a_long_name_loses_its_middle(most):
    cut = middle_cut(LONG, most)
    head, tail = cut.split("...")
    assert len(cut) == most
    assert LONG.startswith(head)
    assert LONG.endswith(tail)
    assert middle_cut("short", most) == "short"
