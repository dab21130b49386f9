"""The command ``check``: all that is in the way of a model, and the smallest device that takes it."""

from dataclasses import replace
from functools import partial
from typing import Any

import click

from hwgen import flow
from hwgen.blocks.operator import Operator
from hwgen.cli.as_json import say
from hwgen.cli.commands import arguments, front, text_width
from hwgen.cli.json_check import check_answer
from hwgen.dataflow.fit import fit_table
from hwgen.dataflow.search.smallest import Verdict, memory_bits, shared, smallest, takes, weight_bits
from hwgen.device.targets import DEVICES, Device
from hwgen.device.targets import device as find_device
from hwgen.flow.front import Quantised
from hwgen.flow.planning import large_ram
from hwgen.graph.errors import FitError, HwgenError, Problems
from hwgen.graph.network import Network
from hwgen.progress import Steps
from hwgen.report.tables import labelled, table
from hwgen.top.loading import OWN

#: Of a resource that is lacking, times what there is: then no search is needed to see that it does not fit.
HOPELESS = 2.0
#: Frames of noise where none are given: the model is judged here, and not its accuracy.
RANDOM_FRAMES = 2


def check(quiet: bool, **settings: Any) -> None:
    """As far as can be got; all that is wrong on the way is reported together."""
    problems = Problems(HwgenError)
    with Steps(quiet) as tell:
        given = arguments(settings, tell)
        target = find_device(given["device"] or flow.DEVICE)
        wanted = (given[name] for name in ("clock", "fps", "latency", "weights", "plan"))
        problems.attempt(lambda: flow.check_given(target, *wanted))
        given["recipe"] = replace(given["recipe"], random_frames=RANDOM_FRAMES)
        if problems.lines:  # what keeps the model from being read is told with them
            read = (given[name] for name in ("model", "input_shape", "outputs"))
            problems.attempt(lambda: flow.cut_model(*read))
        model = None if problems.lines else problems.attempt(lambda: flow.quantised(**front(given)))
        loaded = model and problems.attempt(partial(model.with_weights, given["weights"], given["plan"]))
        for layer in loaded.network.layers if loaded else ():
            problems.attempt(partial(_first_unit, layer.op), f"{layer.place}: ")
        room = device = None
        if loaded and not problems.lines:
            tell("sizing layers")
            found = problems.attempt(lambda: _room(loaded, target, given))
            room, device = found or (None, None)
    say(lambda: check_answer(loaded.network if loaded else None, problems.lines, device))
    if loaded and loaded.network.tail:
        file = f"; `build` writes {flow.TAIL_FILE}" if loaded.network.tail.nodes else ""
        click.echo(f"Left to the host: {loaded.network.tail}{file}", err=bool(problems.lines))
    problems.raise_any()
    if loaded:
        click.echo("\n".join(layer_lines(loaded.network, text_width())))
        click.echo(f"\nNothing is in the way of {loaded.network.name}: its integers are proved exact. {room}")


def _first_unit(op: Operator) -> Any:
    """ModelError where it has no hardware."""
    return next(iter(op.units()))


def layer_lines(network: Network, width: int) -> list[str]:
    """A line for each layer."""
    names = labelled([(layer.name, layer.node) for layer in network.layers], width // 2)
    rows = [
        (names[layer.name], type(layer.op).__name__, str(layer.op.input), str(layer.op.output))
        for layer in network.layers
    ]
    return table(("layer", "operator", "input", "output"), rows, width)


def _room(loaded: Quantised, target: Device, given: dict[str, Any]) -> tuple[str, Device | None]:
    """Where the network fits, in a sentence, and that device; FitError where it was asked to fit and does not."""
    limited = any(given[name] is not None for name in ("multipliers", "fps", "plan"))
    if limited:
        _within_limits(loaded.network, target, given)
    if given["device"] is None:
        verdict = _smallest(loaded.network, given["weights"])
        return verdict.line(), verdict.device
    if not limited:
        _fits(loaded.network, target, given["weights"])
    return f"It fits {target.name}.", target


def _within_limits(network: Network, target: Device, given: dict[str, Any]) -> None:
    """FitError or InputError unless there is a plan within what the command line asks for."""
    limits = {name: given[name] for name in ("multipliers", "fps", "clock", "plan", "latency")}
    named, weights = given["device"] is not None, given["weights"]
    plan = flow.choose_plan(network, target, bound=named, weights=weights, **limits)
    problems = fit_table(plan, target).problems
    if named and problems:
        raise FitError(*problems)


def _fits(network: Network, target: Device, weights: str) -> None:
    """FitError unless the device takes the network at some speed."""
    needed, there = weight_bits(network), memory_bits(target)
    if needed > HOPELESS * there:  # then no unit need be looked at
        other = _smallest(network, weights).line()
        raise FitError(
            f"device {target.name} is too small: the weights take {needed:,} bits, and all of its memories and LUTs "
            f"hold {there:,}. {other}"
        )
    verdict = takes(shared(network, **large_ram(weights))(target))
    if verdict.device is not None:
        return
    if verdict.most_lacking < HOPELESS:
        flow.choose_plan(network, target, weights=weights)  # which looks at all units
        return
    other = _smallest(network, weights).line()
    raise FitError(f"device {target.name} is too small: with the least hardware it takes {verdict.lack}. {other}")


def _smallest(network: Network, weights: str) -> Verdict:
    able = [device for device in DEVICES if weights not in OWN or device.large_style == OWN[weights]]
    return smallest(network, able, **large_ram(weights))
