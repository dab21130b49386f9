"""From a quantised graph to the network of integer operators."""

import warnings
from collections.abc import Callable, Iterable

from .emit import standard
from .errors import ModelError
from .ir import Graph
from .network import Layer, Network, QuantizedTensor, Site
from .trace import REMEDY, Trace
from .value import Value, is_count


def sites(graph: Graph, warn: Callable[[str], None] = warnings.warn) -> tuple[Site, ...]:
    """The sites of a quantised graph, in topological order; ModelError with a line per problem."""
    trace = Trace(graph, warn).run()
    trace.problems.raise_any()
    return tuple(trace.sites)


def lower(graph: Graph, operators: Iterable[type], warn: Callable[[str], None] = warnings.warn) -> Network:
    """The network of ``graph``, built of ``operators``: classes with ``from_site(site) -> operator | None``.

    The first operator that takes a site gets it. ``warn`` is told of what cannot be exact. Raises ModelError with
    a line for every node that cannot be lowered.
    """
    operators = tuple(operators)
    trace = Trace(graph, warn).run()
    output, order = _output(trace)
    layers = tuple(_layer(trace, site, operators) for site in trace.sites)
    trace.problems.raise_any()
    read = {name for layer in layers for name in layer.inputs}
    names = graph.inputs[0], graph.outputs[0]
    input_shape, output_shape = (graph.tensors[name].shape[1:] for name in names)
    return Network(
        name=graph.name,
        input=trace.input,
        output=output,
        input_shape=input_shape,
        output_shape=output_shape,
        layers=layers,
        tensors={trace.input.name: trace.input} | {site.output.name: site.output for site in trace.sites},
        output_order=order,
        head=tuple(node.op.lower() for node in graph.head),
        input_order=trace.input_order,
        constants={name: value for name, value in trace.emitter.constants.items() if name in read},
        integer_input=graph.tensors[names[0]].dtype.kind != "f",
    )


def _layer(trace: Trace, site: Site, operators: tuple[type, ...]) -> Layer | None:
    """The first operator that takes ``site``, checked to make what the site says."""
    try:
        op = next(filter(None, (operator.from_site(site) for operator in operators)), None)
        if op is None:
            given = ", ".join(str(tensor.map) for tensor in site.inputs)
            raise ValueError(f"no operator takes a {site.op} from {given} to {site.output.map}")
        taken_in = site.constants and len(op.inputs) < len(site.inputs)  # constants, into its tables
        reads = site.varying if taken_in else site.inputs
        made = op.infer(*(tensor.map for tensor in reads))
        if made != site.output.map:
            raise ValueError(f"{type(op).__name__} makes {made} where the model has {site.output.map}")
    except (ValueError, ModelError) as error:
        trace.problems.add(f"node {site.name!r} ({site.op}): {error}")
        return None
    return Layer(site.name, op, tuple(tensor.name for tensor in reads), site.output.name)


def _output(trace: Trace) -> tuple[QuantizedTensor | None, str]:
    """The stream that leaves the network, and how its elements lie in ONNX's result."""
    graph = trace.graph
    if len(graph.outputs) != 1:
        return None, ""
    maker = graph.producer(graph.outputs[0])
    name = maker.inputs[0] if maker and maker.op == "DequantizeLinear" else graph.outputs[0]
    value = trace.values.get(graph.outputs[0])
    if value is None:
        if not trace.problems.lines:
            trace.problems.add(f"the output {graph.outputs[0]!r} does not depend on the input")
        return None, ""
    if value.entering:
        value = trace.start(value, name)
    if value.tensor is None:
        trace.problems.add(f"the output {graph.outputs[0]!r} is not quantised; {REMEDY}")
        return None, ""
    places = value.places()
    if is_count(places):
        return value.tensor, "flat"
    if not _channels_last(value) and 2 <= len(value.shape) <= 4:
        value = trace.emitter.arranged(value, standard(value.shape), name)
    if _channels_last(value):
        return value.tensor, "channels_last"
    trace.problems.add(f"the output {graph.outputs[0]!r} has more than four dimensions, in an order of its own")
    return None, ""


def _channels_last(value: Value) -> bool:
    """Whether the stream, channels first, is what ONNX has."""
    height, width, channels = value.map
    return is_count(value.places().reshape(channels, height, width).transpose(1, 2, 0))
