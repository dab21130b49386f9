"""What a loop takes: its products, memories, and the logic around them, counted as it is built."""

from dataclasses import replace

from hwgen.blocks.array.tree import dot_logic
from hwgen.blocks.loop.programme import SLOTS, Programme
from hwgen.cost.logic import Logic, adder, adder_register, chosen, counter, delayed, index_bits, stepper
from hwgen.cost.needs import MemoryNeed, Products
from hwgen.memory.queue import queue_logic
from hwgen.memory.ram import ram_need, read_register


def products(programme: Programme) -> tuple[Products, ...]:
    """Those of the array and of the requantiser."""
    folding = programme.folding
    own = programme.multiplier.hardware(folding.outputs, folding.portion)
    form = programme.op.requantization
    return own + replace(programme.requantizer, results=folding.lanes).products(form)


def memories(programme: Programme, queue: int) -> tuple[MemoryNeed, ...]:
    """Frame buffer, sums that are made, sums that are whole, maxima, constants, and results that wait. Where parts of a
    word are written, the ninth bit of each byte of a block RAM is of no use."""
    folding, sums = programme.folding, programme.op.sums.width * programme.folding.outputs
    rounds, word = SLOTS * folding.outputs // folding.lanes, folding.portion * programme.op.bits
    maxima = (ram_need("maxima", word, folding.positions),) if programme.pools else ()
    return (
        ram_need("frames", word if programme.grain == folding.portion else -(-9 * word // 8), programme.depth),
        *maxima,
        ram_need("partial", sums, folding.positions),
        ram_need("whole", sums, folding.positions),
        ram_need("constants", programme.constant_bits, rounds),
        ram_need("queue", programme.op.output.type.width * folding.lanes_out, queue),
    )


def logic(programme: Programme, queue: int) -> Logic:
    """All that is neither memory nor multiplier."""
    folding = programme.folding
    out = programme.op.output.type.width * folding.lanes_out
    pools = _maxima(programme) if programme.pools else Logic()
    return (
        pools + _array(programme) + _loader(programme) + _drain(programme) + _walk(programme) + queue_logic(queue, out)
    )


def _array(programme: Programme) -> Logic:
    """Activations, products, and sums over the holds."""
    folding, bits, sums = programme.folding, programme.op.bits, programme.op.sums.width
    x = folding.portion * (Logic(mux=bits, register=bits, logic=1))
    dot = dot_logic(programme.multiplier, folding.portion, folding.outputs, programme.dot, 0)
    whole = folding.outputs * (adder_register(sums) + Logic(gated=sums, register=2 * sums))
    at = index_bits(folding.positions)
    flags = delayed(at + 3, programme.timing.dot + 3)
    reads = 2 * read_register(folding.outputs * sums, folding.positions)
    return x + dot + whole + flags + reads


def _maxima(programme: Programme) -> Logic:
    """Of each channel the greater one, and where it goes."""
    word, at = programme.folding.portion * programme.op.bits, index_bits(programme.depth)
    greater = programme.folding.portion * adder(programme.op.bits)
    flags = delayed(index_bits(programme.folding.positions) + 4, 3)
    place = 2 * adder_register(at) + Logic(mux=2 * at)
    reads = read_register(word, programme.folding.positions)
    return greater + Logic(mux=2 * word, register=2 * word) + flags + place + reads


def _loader(programme: Programme) -> Logic:
    """A word of weights twice, a beat, and the constants of a round."""
    folding = programme.folding
    bus, word = 8 * folding.bus, folding.portion * folding.outputs * programme.op.weight.width
    counters = 2 * counter(programme.word_beats) + 4 * counter(64)
    held = Logic(
        register=2 * word + bus + programme.constant_beats * bus + programme.word_beats, logic=programme.word_beats
    )
    return held + counters + delayed(programme.constant_bits, 2)


def _drain(programme: Programme) -> Logic:
    """Sums chosen for the lanes, the lanes, and where their results go."""
    folding, sums = programme.folding, programme.op.sums.width
    rounds = folding.outputs // folding.lanes
    wide = folding.lanes * sums
    choice = chosen(rounds, wide) + Logic(register=wide)
    constants = [folding.lanes * width for width in programme.lane.constant_bits[1:]]
    waits = Logic()
    for width, cycles in zip(constants, programme.lane.waits, strict=True):
        waits += delayed(width, cycles)
    place = index_bits(programme.depth)
    results = delayed(place + 4, 3 + programme.timing.lane) + 2 * adder(place) + 4 * counter(64)
    written = folding.portion * programme.op.bits
    return (
        choice + waits + folding.lanes * programme.lane.logic + results + Logic(mux=written, register=written + place)
    )


def _walk(programme: Programme) -> Logic:
    """Counters of holds and positions, and what layers differ in."""
    layers, at = programme.layers, index_bits(programme.depth)
    size = max(g.conv.input.height + g.conv.input.width for g in layers).bit_length() + 1
    fields = 0 if len(layers) == 1 else 6 * at + 16 * size
    nest = 5 * counter(16) + 3 * adder_register(at)
    walk = 4 * (2 * size + at) * Logic(register=1, mux=1) + 3 * adder_register(at) + 4 * adder_register(size)
    return nest + walk + 2 * stepper(12) + Logic(register=fields, logic=fields)
