"""Which foldings of a multiply-accumulate layer are worth considering."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import gcd

from .mac import MacFolding, requantizer_plan
from .mac_layer import MacLayer

#: Elements of a window up to which holding it in registers is offered: twice 8 flip-flops an element.
SLIDING_LIMIT = 1024


def mac_foldings(layer: MacLayer) -> list[MacFolding]:
    """Both kinds of window buffer, every number of portions, passes and groups at a time that makes a difference."""
    shapes = [shape for parallel in divisors(layer.group) for shape in _shapes(layer, parallel)]
    return [folding for shape in shapes for folding in _requantized(layer, shape)]


def mac_problems(layer: MacLayer, folding: MacFolding) -> list[str]:
    """Why a folding cannot be built; empty if it can. More can be built than :func:`mac_foldings` offers."""
    problems = []

    def require(holds: bool, problem: str) -> None:
        if not holds:
            problems.append(problem)

    parallel, outputs = folding.parallel, layer.group_outputs
    require(folding.window in ("ring", "sliding"), f"window {folding.window!r} is not 'ring' or 'sliding'")
    require(
        parallel in divisors(layer.group), f"parallel {parallel} does not divide the {layer.group} groups of channels"
    )
    require(1 <= folding.portion <= layer.elements, f"portion {folding.portion} is not within 1 to {layer.elements}")
    require(1 <= folding.outputs <= outputs, f"outputs {folding.outputs} is not within 1 to {outputs}")
    require(
        parallel == 1 or folding.outputs == outputs,
        f"outputs {folding.outputs} of {parallel} groups at a time would come out of order: "
        f"all {outputs}, or parallel 1",
    )
    require(
        folding.lanes_in in divisors(parallel * layer.group_inputs),
        f"lanes_in {folding.lanes_in} does not divide the input",
    )
    require(
        folding.lanes_out in divisors(parallel * gcd(folding.outputs, outputs)),
        f"lanes_out {folding.lanes_out} does not divide both outputs {parallel * folding.outputs} and the "
        f"{parallel * outputs} channels",
    )
    if folding.window == "ring":
        require(
            parallel * folding.portion == folding.lanes_in,
            "a ring takes as many elements as a beat has: parallel * portion = lanes_in",
        )
        require(
            parallel == 1 or folding.portion == layer.group_inputs,
            f"portion {folding.portion} of {parallel} groups at a time does not come from a ring in one beat: all "
            f"{layer.group_inputs} channels of a group, or parallel 1",
        )
    if problems:
        return problems
    portions = -(-layer.elements // folding.portion)
    plan = requantizer_plan(layer, folding)
    require(
        plan.busy <= portions,
        f"requantising {plan.results} outputs takes {plan.busy} cycles (limit {portions}); use more lanes_out",
    )
    require(folding.window == "ring" or _slides(layer, folding.lanes_in), "this window cannot slide; use 'ring'")
    return problems


def _slides(layer: MacLayer, lanes: int) -> bool:
    """Whether a sliding window can be built: padding within the window, rows of two words at least."""
    window, source = layer.window, layer.input
    within = window.pads[0] < window.extent[0] and window.pads[1] < window.extent[1]
    return within and (window.kernel[0] == 1 or source.width * source.channels // lanes >= 2)


def _shapes(layer: MacLayer, parallel: int) -> Iterator[MacFolding]:
    """Foldings with ``parallel`` groups at a time, but for the requantiser."""
    outputs = _useful(layer.group_outputs) if parallel == 1 else [layer.group_outputs]
    portions = divisors(layer.group_inputs) if parallel == 1 else [layer.group_inputs]
    for portion, some in product(portions, outputs):
        yield MacFolding("ring", portion, some, parallel * portion, 1, parallel=parallel)
    held = parallel * layer.elements
    wide = [portion for portion in _useful(layer.elements) if held <= max(SLIDING_LIMIT, 4 * parallel * portion)]
    for portion, some in product(wide, outputs):
        lanes = _input_lanes(layer, parallel, portion, some)
        if lanes:
            yield MacFolding("sliding", portion, some, lanes, 1, parallel=parallel)


def _input_lanes(layer: MacLayer, parallel: int, portion: int, outputs: int) -> int | None:
    """The narrowest beats that come in no slower than windows are worked on, else the widest; None if none slide."""
    lanes = [lanes for lanes in divisors(parallel * layer.group_inputs) if _slides(layer, lanes)]
    rows, columns = layer.output.height, layer.output.width
    passes = -(-layer.group_outputs // outputs) * (layer.group // parallel)
    work = rows * columns * passes * -(-layer.elements // portion)
    _, left, bottom, right = layer.window.pads
    words = (layer.input.height + bottom) * (layer.input.width + left + right) * layer.input.channels
    return next((few for few in lanes if words // few <= work), lanes[-1] if lanes else None)


def _requantized(layer: MacLayer, shape: MacFolding) -> Iterator[MacFolding]:
    """``shape`` with the cheapest requantiser that keeps up with the sums."""
    portions = -(-layer.elements // shape.portion)
    lanes = divisors(shape.parallel * gcd(shape.outputs, layer.group_outputs))
    choices = [replace(shape, lanes_out=some, serial=serial) for some in lanes for serial in (True, False)]
    plans = [(requantizer_plan(layer, choice), choice) for choice in choices]
    fitting = [(plan, choice) for plan, choice in plans if plan.busy <= portions]
    if fitting:
        plan, choice = min(fitting, key=lambda each: (each[0].multipliers, each[1].lanes_out, each[1].serial))
        yield replace(choice, serial=plan.serial)
    few = next((some for some in lanes if shape.parallel * shape.outputs // some <= portions), None)
    if few:
        yield replace(shape, lanes_out=few, in_luts=True)


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, rising."""
    return [d for d in range(1, n + 1) if n % d == 0]


def _useful(n: int) -> list[int]:
    """Sizes of a part, of which no smaller one cuts ``n`` into as few parts."""
    return sorted({-(-n // parts) for parts in range(1, n + 1)})
