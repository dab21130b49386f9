"""From a quantised graph to the network of integer operators."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import numpy as np

from hwgen.graph.editor import Editor
from hwgen.graph.errors import ModelError, quoted
from hwgen.graph.ir import Graph
from hwgen.graph.layer_names import named
from hwgen.graph.lower.subsample import subsampled
from hwgen.graph.lower.trace import REMEDY, Trace
from hwgen.graph.lower.value import Pending, Value, is_count, standard
from hwgen.graph.network import GoldenOperator, Layer, Network, Op, OperatorClass, Output, QuantizedTensor, Site
from hwgen.graph.notice import warn_caller
from hwgen.graph.weights import find_weight


def refusals(graph: Graph) -> frozenset[str]:
    """The nodes of a quantised graph, by name, that have no place in a network: they may be left to the host."""
    trace = Trace(graph, lambda line: None).run()
    _outputs(trace)
    return frozenset(trace.refused)


def with_computed_biases(graph: Graph, warn: Callable[[str], None] = warn_caller) -> Graph:
    """``graph`` (quantised) with the biases that are added in hardware, where they are rounded to steps of the sums.

    ``warn`` is told of those that the model has quantised otherwise. Where somebody takes the sums as real numbers the
    bias stays: it is the host's to add.
    """
    emitter = Trace(graph, warn).run().emitter
    editor = Editor(graph)
    for node in graph.nodes:
        computed = emitter.biases.get(node.name)
        if computed is None or node.name in emitter.summed_nodes:
            continue
        given = find_weight(graph, node.inputs[2])
        stored = given and given.vector(len(computed.values))
        if stored is None or stored.scale is None or not np.array_equal(stored.values, computed.values):
            editor.replace(node, *editor.layer(node, None, computed))
    return editor.done()


def lower(
    graph: Graph, operators: Iterable[OperatorClass[Op]], warn: Callable[[str], None] = warn_caller
) -> Network[Op]:
    """The network of ``graph``, built of ``operators``: classes with ``from_site(site) -> operator | None``.

    The first that takes a site gets it, of those whose ``sites`` have its ``op``. ``warn`` is told of what cannot be
    exact. Raises ModelError with a line for every node that cannot be lowered.
    """
    operators = tuple(operators)
    trace = Trace(graph, warn).run()
    outputs = _outputs(trace)
    all_sites = subsampled(trace.emitter.sites, trace.emitter.streams)
    placed = [pair for site in all_sites for pair in _layers(trace, site, operators)]
    trace.problems.raise_any()
    layers = named(layer for layer, _ in placed)
    frame = graph.tensors[graph.inputs[0]]
    read = {name for layer in layers for name in layer.inputs}
    return Network(
        name=graph.name,
        input=trace.entrance.stream,
        input_shape=frame.shape[1:],
        outputs=outputs,
        layers=layers,
        tensors={trace.entrance.stream.name: trace.entrance.stream} | {tensor.name: tensor for _, tensor in placed},
        head=tuple(node.op.lower() for node in graph.head),
        input_order=trace.entrance.order,
        integer_input=frame.dtype.kind != "f",
        input_limits=trace.entrance.limits,
        input_function=trace.entrance.function,
        constants={name: value for name, value in trace.emitter.constants.items() if name in read},
        tail=graph.tail,
    )


def _layers(
    trace: Trace, site: Site, operators: tuple[OperatorClass[Op], ...]
) -> list[tuple[Layer[Op], QuantizedTensor]]:
    """The parts of the first operator that takes ``site``, checked to make what the site says, with their results."""
    try:
        op = next(filter(None, (each.from_site(site) for each in operators if site.op in each.sites)), None)
        if op is None:
            given = ", ".join(str(tensor.map) for tensor in site.inputs)
            raise ValueError(f"no operator takes a {site.op} from {given} to {site.output.map}")
        taken_in = site.constants and len(op.inputs) < len(site.inputs)  # constants, into its tables
        reads = site.varying if taken_in else site.inputs
        made = op.infer(*(tensor.map for tensor in reads))
        if made != site.output.map:
            raise ValueError(f"{type(op).__name__} makes {made} where the model has {site.output.map}")
    except (ValueError, ModelError) as error:
        trace.problems.add(f"node {quoted(site.name)} ({site.op}): {error}")
        return []
    placed, names = [], tuple(tensor.name for tensor in reads)
    for number, part in enumerate(op.parts, 1):
        last = number == len(op.parts)
        tensor = site.output if last else _between(site.output, part, number)
        name = site.name if number == 1 else f"{site.name}/{type(part).__name__.lower()}"
        # An operator is made of such as it is itself, which no annotation of ``parts`` can say.
        placed.append((Layer(name, cast(Op, part), names, tensor.name), tensor))
        names = (tensor.name,)
    return placed


def _between(result: QuantizedTensor, part: GoldenOperator, number: int) -> QuantizedTensor:
    """What ``part`` hands to the next; its integers mean what those of the result do."""
    kind, channels = result.quantization, part.output.channels
    if kind.per_channel:
        kind = replace(kind, scale=tuple(np.resize(kind.scale, channels).tolist()))
    return QuantizedTensor(f"{result.name}/part{number}", part.output, kind)


def _outputs(trace: Trace) -> tuple[Output, ...]:
    """What leaves the network, in the order of the model's outputs."""
    graph = trace.graph
    outputs = []
    for tensor, name in zip(graph.outputs, graph.results or graph.outputs, strict=True):
        try:
            outputs.append(_output(trace, tensor, name))
        except ValueError as error:
            trace.problems.add(f"the output {quoted(name)} {error}")
            maker = graph.producer(tensor)
            trace.refused.update([maker.name] if maker else [])
    return tuple(output for output in outputs if output is not None)


def _output(trace: Trace, tensor: str, name: str) -> Output | None:
    """The streams behind ``tensor``, and what the host does with them; None where the trace got stuck before it."""
    graph, value = trace.graph, trace.values.get(tensor)
    maker = graph.producer(tensor)
    stream = maker.inputs[0] if maker and maker.op == "DequantizeLinear" else tensor
    if value is None:
        if not trace.problems.lines:
            raise ValueError("does not depend on the input")
        return None
    if value.entering:
        value = trace.start(value, stream)
    if value.pending and not value.pending.of_the_input:
        return _real_output(trace, value, value.pending, name)
    if value.tensor is None:
        raise ValueError(f"is not quantised; {REMEDY}")
    if not value.whole:
        value = trace.emitter.arranged(value, standard(value.shape), stream)
    integer = graph.tensors[tensor].dtype.kind in "iu"
    return Output(name, (value.stream,), value.shape[1:], **_order(value), integer=integer)


def _real_output(trace: Trace, value: Value, pending: Pending, name: str) -> Output:
    """A result that nothing quantises: the host computes what comes behind the last sums and streams."""
    if not value.whole:
        raise ValueError(f"is only a part of what is computed, and not quantised; {REMEDY}")
    try:
        pending = trace.emitter.summed(pending)
    except ValueError as error:
        raise ValueError(f"is not quantised: {error}") from None
    function = pending.expression
    streams = tuple(pending.leaves[leaf].sources[0].stream for leaf in function.inputs)
    return Output(name, streams, value.shape[1:], **_order(value), function=function if function.nodes else None)


def _order(value: Value) -> dict[str, Any]:
    """How the elements of a result lie in its stream."""
    places, (height, width, channels) = value.places(), value.size
    if is_count(places):
        return {"order": "flat"}
    if is_count(places.reshape(channels, height, width).transpose(1, 2, 0)):
        return {"order": "channels_last"}
    return {"order": "places", "places": places.reshape(-1)}
