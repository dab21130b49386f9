"""What `check` says with ``--json``; apart from the others, as it is said before anything slow is imported."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwgen.device.targets import Device
    from hwgen.graph.network import Network


def check_answer(network: "Network | None", problems: Sequence[str], device: "Device | None") -> dict[str, Any]:
    """Of a network, as far as it could be read, and the device that takes it."""
    layers = [
        {
            "name": layer.name,
            "node": layer.node,
            "operator": type(layer.op).__name__,
            "input": list(layer.op.input.shape),
            "output": list(layer.op.output.shape),
        }
        for layer in (network.layers if network else ())
    ]
    left = str(network.tail) if network and network.tail else None
    return {
        "ok": not problems,
        "problems": list(problems),
        "layers": layers,
        "device": device and device.name,
        "left_to_the_host": left,
    }
