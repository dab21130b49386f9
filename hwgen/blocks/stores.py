"""What stores take whose words are loaded, and the bytes that load them."""

from hwgen.hdl.contents import Contents
from hwgen.memory.store import StoreShape

from .costs import MemoryNeed, ram_need
from .logic import Logic, index_bits, stepper


def images(*contents: Contents) -> bytes:
    """What loads stores with ``contents``, one after the other."""
    return b"".join(StoreShape(words.width, len(words)).image(words) for words in contents)


def store_needs(name: str, shape: StoreShape) -> tuple[MemoryNeed, ...]:
    """The columns of a :class:`hwgen.memory.store.Store`; a single word is in registers."""
    if shape.style == "registers":
        return ()
    return tuple(ram_need(f"{name}{n}", shape.style, width, shape.depth) for n, width in enumerate(shape.columns))


def store_logic(shape: StoreShape) -> Logic:
    """Counted bits beside the memory: the word being collected, where it goes, the bus, and registers behind."""
    columns, place = len(shape.columns), index_bits(shape.depth)
    behind = {"registers": 1, "block": 1, "huge": 1, "lutram": shape.latency}[shape.style]
    shared = Logic(mux=place, logic=1) if shape.huge else Logic()  # one port to write and to read
    count = stepper(place) + stepper(index_bits(shape.collected)) + Logic(register=place, logic=place)
    turns = Logic(register=columns * (2 if columns > 1 else 1), logic=columns)
    bus = Logic(register=10 + 1, logic=6)  # start, strobe, data; and whether it is full
    return count + turns + bus + shared + Logic(register=8 * shape.collected + behind * shape.width)
