"""Which foldings of a multiply-accumulate layer are worth considering."""

from collections.abc import Iterator
from math import gcd

from .mac import MacFolding, MacLayer
from .requantizer import RequantizerPlan

#: Elements of a window up to which holding it in registers is offered: twice 8 flip-flops an element.
SLIDING_LIMIT = 1024


def mac_foldings(layer: MacLayer) -> list[MacFolding]:
    """Both kinds of window buffer, every number of portions and groups that makes a difference."""
    return [*_ring_foldings(layer), *_sliding_foldings(layer)]


def mac_problems(layer: MacLayer, folding: MacFolding) -> list[str]:
    """Why a folding cannot be built; empty if it can. More can be built than :func:`mac_foldings` offers."""
    elements, channels = layer.window.taps * layer.input.channels, layer.output.channels
    problems = []

    def require(holds: bool, problem: str) -> None:
        if not holds:
            problems.append(problem)

    require(folding.window in ("ring", "sliding"), f"window {folding.window!r} is not 'ring' or 'sliding'")
    require(1 <= folding.portion <= elements, f"portion {folding.portion} is not within 1 to {elements}")
    require(1 <= folding.outputs <= channels, f"outputs {folding.outputs} is not within 1 to {channels}")
    require(
        folding.lanes_in in divisors(layer.input.channels), f"lanes_in {folding.lanes_in} does not divide the input"
    )
    require(
        folding.lanes_out in divisors(gcd(folding.outputs, channels)),
        f"lanes_out {folding.lanes_out} does not divide both outputs {folding.outputs} and the {channels} channels",
    )
    if folding.window == "ring":
        require(folding.portion == folding.lanes_in, "a ring takes as many elements as a beat has: portion = lanes_in")
    if problems:
        return problems
    portions = -(-elements // folding.portion)
    cycles = portions if folding.in_luts else 0
    plan = RequantizerPlan.of(
        layer.requantization, folding.outputs, folding.lanes_out, folding.serial, lut_cycles=cycles
    )
    require(
        plan.busy <= portions,
        f"requantising {folding.outputs} outputs takes {plan.busy} cycles (limit {portions}); use more lanes_out",
    )
    require(folding.window == "ring" or _slides(layer, folding.lanes_in), "this window cannot slide; use 'ring'")
    return problems


def _slides(layer: MacLayer, lanes: int) -> bool:
    """Whether a sliding window can be built: padding within the window, rows of two words at least."""
    window, source = layer.window, layer.input
    within = window.pads[0] < window.extent[0] and window.pads[1] < window.extent[1]
    return within and (window.kernel[0] == 1 or source.width * source.channels // lanes >= 2)


def _ring_foldings(layer: MacLayer) -> Iterator[MacFolding]:
    for lanes in divisors(layer.input.channels):
        portions = layer.window.taps * layer.input.channels // lanes
        for outputs in _useful(layer.output.channels):
            yield from _requantized(layer, "ring", lanes, outputs, lanes, portions)


def _sliding_foldings(layer: MacLayer) -> Iterator[MacFolding]:
    elements = layer.window.taps * layer.input.channels
    if elements > SLIDING_LIMIT or layer.window.taps == 1:
        return
    for portion in _useful(elements):
        for outputs in _useful(layer.output.channels):
            for lanes in (lanes for lanes in divisors(layer.input.channels) if _slides(layer, lanes)):
                yield from _requantized(layer, "sliding", portion, outputs, lanes, -(-elements // portion))


def _requantized(
    layer: MacLayer, window: str, portion: int, outputs: int, lanes_in: int, portions: int
) -> Iterator[MacFolding]:
    """The cheapest requantiser that keeps up with the sums."""
    choices = [
        (RequantizerPlan.of(layer.requantization, outputs, lanes, serial), lanes, serial)
        for lanes in divisors(gcd(outputs, layer.output.channels))
        for serial in (True, False)
    ]
    fitting = [choice for choice in choices if choice[0].busy <= portions]
    if fitting:
        plan, lanes, _ = min(fitting, key=lambda choice: (choice[0].multipliers, choice[1], choice[2]))
        yield MacFolding(window, portion, outputs, lanes_in, lanes, plan.serial)
    in_logic = (lanes for lanes in divisors(gcd(outputs, layer.output.channels)) if outputs // lanes <= portions)
    for lanes in in_logic:
        yield MacFolding(window, portion, outputs, lanes_in, lanes, in_luts=True)
        break


def divisors(n: int) -> list[int]:
    """All divisors of ``n``, rising."""
    return [d for d in range(1, n + 1) if n % d == 0]


def _useful(n: int) -> list[int]:
    """Sizes of a part, of which no smaller one cuts ``n`` into as few parts."""
    return sorted({-(-n // parts) for parts in range(1, n + 1)})
