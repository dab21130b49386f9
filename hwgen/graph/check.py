"""The executable specification of :class:`hwgen.graph.ir.Graph`, checked before and after every pass."""

from hwgen.graph.semantics.operators import OPERATORS

from .ir import Graph, Node, TensorInfo


def check_graph(graph: Graph) -> None:
    """Raise ValueError, one line per fault, unless ``graph`` is well formed. A fault is a bug, not a bad model."""
    faults = [*order_faults(graph), *_check_tensors(graph)]
    for node in graph.nodes:
        faults += [f"{node.place}: {fault}" for fault in _check_node(node)]
    names = [node.name for node in graph.nodes]
    faults += [f"node name {name!r} repeats" for name in sorted({n for n in names if names.count(n) > 1})]
    if faults:
        raise ValueError("\n".join(faults))


def order_faults(graph: Graph) -> list[str]:
    """Where a tensor is not written exactly once, before it is read."""
    faults = []
    defined = set(graph.inputs) | set(graph.constants)
    faults += [f"input {name!r} is also a constant" for name in graph.inputs if name in graph.constants]
    for node in graph.nodes:
        missing = dict.fromkeys(name for name in node.inputs if name and name not in defined)
        faults += [f"{node.place}: reads {name!r}, which nothing before it writes" for name in missing]
        faults += [f"{node.place}: writes {name!r}, which exists already" for name in node.outputs if name in defined]
        defined.update(node.outputs)
    faults += [f"output {name!r} is written by no node" for name in graph.outputs if name not in defined]
    return faults


def _check_tensors(graph: Graph) -> list[str]:
    written = [name for node in graph.nodes for name in node.outputs]
    names = [*graph.inputs, *graph.constants, *written]
    faults = [f"tensor {name!r} has no shape" for name in names if name not in graph.tensors]
    for name, value in graph.constants.items():
        if graph.tensors.get(name) != TensorInfo(value.shape, value.dtype):
            faults.append(f"constant {name!r} is {value.dtype}{list(value.shape)}, not {graph.tensors.get(name)}")
    return faults


def _check_node(node: Node) -> list[str]:
    operator = OPERATORS.get(node.op)
    if operator is None or node.domain:
        return [f"operator {node.domain}.{node.op} is not in the table"]
    faults = []
    least, most = operator.operands
    if not least <= len(node.inputs) <= most:
        faults.append(f"{len(node.inputs)} operands; {least} to {most} are allowed")
    if not operator.results[0] <= len(node.outputs) <= operator.results[1]:
        faults.append(f"{len(node.outputs)} results instead of {_counts(operator.results)}")
    if set(node.attributes) != set(operator.defaults):
        faults.append(f"attributes {sorted(node.attributes)} instead of {sorted(operator.defaults)}")
    return faults


def _counts(least_and_most: tuple[int, int]) -> str:
    return "one" if least_and_most == (1, 1) else " to ".join(map(str, least_and_most))
