"""What Yosys makes of counted hardware: products to DSP blocks, memories to block RAM and LUTs.

The models of :func:`dsps` and :func:`brams` are exact: they follow the rules of Yosys' ``mul2dsp`` and
``memory_libmap`` with its libraries for each family, and a test compares them with Yosys itself (0.70). LUTs and
flip-flops are estimates.
"""

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache

from hwgen.cost.logic import Logic
from hwgen.cost.needs import LARGE_STYLES, Cost, MemoryNeed, Products
from hwgen.device.family import BlockRam, Dsp, PerBit
from hwgen.device.needs import Needs
from hwgen.device.targets import Device


def needs(cost: Cost, device: Device) -> Needs:
    """What ``cost`` takes of ``device``."""
    return Needs(
        luts=luts(cost, device),
        ffs=ffs(cost, device),
        dsps=sum(dsps(product, device) for product in cost.products),
        brams=sum(brams(memory, device) for memory in cost.memories),
        ram_luts=sum(ram_luts(memory, device) for memory in cost.memories)
        + device.family.per_bit.apart * cost.logic.lines,
        large=sum(large_rams(memory, device) for memory in cost.memories),
    )


# Products


def dsps(products: Products, device: Device) -> int:
    """What all of ``products`` take of DSP blocks, in the family's unit."""
    if products.luts:
        return 0
    return products.count * (1 if products.cell else _product(products, device.family.dsp)[0])


def counted(products: Iterable[Products], device: Device) -> int:
    """What ``products`` take of a budget: multipliers of ``device``. Those that it makes of LUTs are not for nothing,
    unless that is what they are meant to be made of."""
    return sum(max(dsps(each, device), each.count) for each in products if not each.luts)


def product_luts(products: Products, device: Device) -> int:
    """LUTs for those of ``products``, or parts of them, that are too narrow for DSP blocks or have to be added up."""
    return 0 if products.cell or products.luts else products.count * _product(products, device.family.dsp)[1]


def _product(products: Products, shapes: Dsp) -> tuple[int, int]:
    return _tried(products.a, products.b, products.a + products.b, shapes)


def _tried(a: int, b: int, result: int, shapes: Dsp) -> tuple[int, int]:
    """Units of DSP blocks and LUTs of one product that only ``shapes`` are left for."""
    return _cut(max(a, b), min(a, b), result, shapes) if shapes else (0, a * b)


def _cut(a: int, b: int, result: int, shapes: Dsp) -> tuple[int, int]:
    """The same, cut for the first shape along ``a`` and then along ``b``, into parts of full width and a rest."""
    shape = shapes[0]
    if a < shape.least_a or b < shape.least_b or result < shape.least:
        return _tried(a, b, result, shapes[1:])
    if a <= shape.a and b <= shape.b:
        return shape.units, 0
    along_a, usable = a > shape.a, shape.part - shape.headroom
    width, most, other = (a, shape.a, b) if along_a else (b, shape.b, a)
    parts = -(-(width - most) // usable)

    def part(width: int, result: int) -> tuple[int, int]:
        return _cut(width, other, result, shapes) if along_a else _cut(other, width, result, shapes)

    some, last = part(shape.part, min(result, other + shape.part)), width - parts * usable
    rest = part(last, other + last)
    return parts * some[0] + rest[0], parts * (some[1] + other + shape.part) + rest[1]


# Memories


def brams(memory: MemoryNeed, device: Device) -> int:
    """Block RAMs, in the device's unit, for a memory with one port to read and, if it is a RAM, one to write."""
    if not _in_block(memory, device):
        return 0
    count, block, _ = _block_layout(memory, device)
    return count * block.units


def large_rams(memory: MemoryNeed, device: Device) -> int:
    """Large RAMs for a memory."""
    return _block_layout(memory, device)[0] if _in_large(memory, device) else 0


def place(memory: MemoryNeed, device: Device) -> str:
    """Where a memory is on ``device``, in words."""
    if _in_large(memory, device):
        return "large RAM"
    return "block RAM" if _in_block(memory, device) else "LUTs"


def _in_large(memory: MemoryNeed, device: Device) -> bool:
    return memory.style in LARGE_STYLES and memory.style == device.family.large_style


def _block_layout(memory: MemoryNeed, device: Device) -> tuple[int, BlockRam, int]:
    """How many of which block, and in how many rows."""
    blocks = device.family.large if _in_large(memory, device) else device.family.brams
    return _cheapest(memory.kind, memory.kept, memory.depth, blocks)


@lru_cache(4096)  # many memories of a search are alike
def _cheapest(kind: str, kept: int, depth: int, blocks: tuple[BlockRam, ...]) -> tuple[int, BlockRam, int]:
    """Of ``kept`` bits by ``depth``: the cheapest layout, and of these the one with the fewest rows.

    Yosys' older ``memory_bram``, for blocks that are not joined, takes the shape of whose bits most percent are used.
    """
    options = [(_blocks(kind, kept, depth, block, shape), block, shape) for block in blocks for shape in block.shapes]

    def worse(option: tuple[int, BlockRam, tuple[int, int]]) -> tuple[int, int]:
        count, block, (width, rows) = option
        if not block.joined:
            return -(100 * kept * depth // max(count * width * rows, 1)), 0
        return count * block.cost, -(-depth // rows)

    count, block, (_, rows) = min(options, key=worse)
    return count, block, -(-depth // rows)


def _in_block(memory: MemoryNeed, device: Device) -> bool:
    """Without LUT RAM, small RAMs are block RAMs too; without large RAM of their kind, large ones are."""
    if memory.style in LARGE_STYLES:
        return not _in_large(memory, device)
    return memory.style == "block" or (memory.style == "lutram" and device.family.lutram is None)


def _blocks(kind: str, kept: int, words: int, block: BlockRam, shape: tuple[int, int]) -> int:
    """Blocks of one shape. Columns of words stand beside or below each other, wherever there are bits free.

    A RAM cannot share the bits of a write enable between rows that are written apart.
    """
    width, depth = shape
    rows = -(-words // depth)
    if not block.joined:
        return -(-kept // width) * rows
    if kind == "rom":
        return -(-kept * rows // width)
    if width < block.byte:
        return -(-kept // width) * rows
    return -(-(-(-kept // block.byte) * rows) // (width // block.byte))


def ram_luts(memory: MemoryNeed, device: Device) -> int:
    """LUTs used as RAM."""
    lutram = device.family.lutram
    if memory.style != "lutram" or lutram is None:
        return 0
    return min(-(-memory.kept // w) * -(-memory.depth // d) * lutram.luts for w, d in lutram.shapes)


def memory_luts(memory: MemoryNeed, device: Device) -> int:
    """LUTs of a memory: those that hold its bits, and those that choose between rows where it is deeper than one."""
    if memory.style == "logic":
        return _logic_rom(memory, device)
    if memory.style in LARGE_STYLES or _in_block(memory, device):
        return memory.kept * _chooser(_block_layout(memory, device)[2], device)
    lutram = device.family.lutram
    rows = 1 if lutram is None else -(-memory.depth // max(depth for _, depth in lutram.shapes))
    return ram_luts(memory, device) + memory.kept * _chooser(rows, device)


def _chooser(rows: int, device: Device) -> int:
    """LUTs that choose one bit of ``rows``; measured with up to 7 rows."""
    return -(-(rows - 1) // (2 if device.family.lut_inputs == 6 else 1))


#: Words up to which the LUTs of a ROM are joined for nothing; and how much more a deeper one takes than its parts of so
#: many words and what chooses between them: measured on UltraScale+, ECP5, Gowin.
_JOINED, _MORE = 256, 1.25
#: Where none are joined: LUTs for each as full as it can be, with what chooses, and how many less there are, by inputs
#: of a LUT. On iCE40 at up to 64 words; on Cyclone V, where one of six inputs is two halves of an ALM, up to 1,024.
_ALONE = {4: (2.6, 1.6), 6: (3.2, 1.2)}


def _logic_rom(memory: MemoryNeed, device: Device) -> int:
    """A ROM of contents without a pattern. Joined LUTs cost nothing up to a size, then those that choose."""
    rows = -(-memory.depth // (1 << device.family.lut_inputs))
    if device.family.free_mux == 1:
        each, less = _ALONE[device.family.lut_inputs]
        halved = device.family.lut_inputs == 6 and memory.depth <= 32
        return memory.kept if halved else round(memory.kept * (each * rows - less))
    most = _JOINED >> device.family.lut_inputs
    whole, rest = divmod(rows, most)
    parts = [most] * whole + [1 << (rest - 1).bit_length()] * (rest > 0)
    more = _MORE if len(parts) > 1 else 1
    return round(memory.kept * (sum(parts) + _chooser(len(parts), device)) * more)


# Logic


#: Kinds of counted logic that LUTs are made of.
KINDS = tuple(field.name for field in fields(PerBit) if field.name not in ("apart", "packed"))


def luts(cost: Cost, device: Device) -> int:
    """LUTs: logic, memories, and what DSP blocks do not take of products."""
    memories = sum(memory_luts(memory, device) for memory in cost.memories)
    counted = logic_luts(cost.logic, device.family.per_bit)
    return round(counted) + memories + sum(product_luts(product, device) for product in cost.products)


def logic_luts(logic: Logic, per_bit: PerBit) -> float:
    """LUTs for counted ``logic``, shift registers included."""
    apart = logic.lines + per_bit.adder * logic.apart_adder
    return per_bit.apart * apart + sum(getattr(per_bit, kind) * getattr(logic, kind) for kind in KINDS)


def ffs(cost: Cost, device: Device) -> int:
    """Flip-flops, without those that shift registers in LUTs and multipliers take in."""
    logic, apart = cost.logic, device.family.per_bit.apart
    inside = 0 if device.family.per_bit.packed else logic.inside + apart * logic.apart_inside
    return logic.register + inside + (logic.apart_register if apart else logic.delay)
