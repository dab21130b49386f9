"""Memories that are loaded over a chain of buses."""

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator

from hwgen.hdl.contents import Contents
from hwgen.memory.store import COLUMN, LOAD_BUS, Store, StoreShape, bus


def random_contents(width: int, depth: int, seed: int) -> Contents:
    generator = np.random.default_rng(seed)
    size = -(-width // 8)
    return Contents.of([int.from_bytes(generator.bytes(size), "little") % (1 << width) for _ in range(depth)], width)


class Chain(wiring.Component):
    """Stores one after the other."""

    def __init__(self, stores: list[Store]):
        self.stores = stores
        super().__init__({"load": In(LOAD_BUS)})

    def elaborate(self, platform):
        m, source = Module(), self.load
        for n, store in enumerate(self.stores):
            m.submodules[f"store_{n}"] = store
            bus(m, source, store.load)
            source = store.loaded
        return m


async def expect(ctx, stores: list[Store], contents: list[Contents]) -> None:
    for store, words in zip(stores, contents, strict=True):
        for at, word in enumerate(words):
            ctx.set(store.address, at)
            await ctx.tick().repeat(store.latency)
            assert ctx.get(store.data) == word, (store.shape, at)


async def load(ctx, chain: Chain, image: bytes, seed: int) -> None:
    """With pauses between the bytes."""
    random = np.random.default_rng(seed)
    ctx.set(chain.load.start, 1)
    await ctx.tick()
    ctx.set(chain.load.start, 0)
    for byte in image:
        ctx.set(chain.load.strobe, 0)
        await ctx.tick().repeat(int(random.integers(0, 2)) + 1)
        ctx.set(chain.load.strobe, 1)
        ctx.set(chain.load.data, byte)
        await ctx.tick()
    ctx.set(chain.load.strobe, 0)
    await ctx.tick().repeat(len(chain.stores) + 4)


@pytest.mark.parametrize(
    "sizes",
    [[(5, 1), (36, 1), (100, 7)], [(8, 16), (1, 2), (72, 40)], [(37, 90), (33, 1)], [(80, 70)]],
    ids=["registers", "lutram", "columns", "block"],
)
def test_a_chain_of_stores_takes_its_bytes_in_order_and_passes_the_others_on(sizes):
    first, second = ([random_contents(*size, seed + n) for n, size in enumerate(sizes)] for seed in (0, 10))
    stores = [Store(contents) for contents in first]
    chain = Chain(stores)
    image = b"".join(store.shape.image(words) for store, words in zip(stores, second, strict=True))
    assert len(image) == sum(store.shape.bytes for store in stores)

    async def bench(ctx):
        await expect(ctx, stores, first)
        await load(ctx, chain, image[: len(image) // 2], seed=1)  # too short: the next begins anew
        await load(ctx, chain, image + b"more", seed=2)
        await expect(ctx, stores, second)

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_columns_have_whole_bytes_and_no_more_than_a_block_ram_takes():
    shape = StoreShape(width=80, depth=3)
    assert shape.columns == (COLUMN, COLUMN, 8)
    assert shape.column_bytes == (5, 5, 1)
    assert shape.bytes == 33
    words = [0x0123456789ABCDEF0123, 1 << 79, 0]
    image = shape.image(Contents.of(words, 80))
    low = [int.from_bytes(image[at : at + 5], "little") for at in (0, 11, 22)]
    assert low == [word % (1 << COLUMN) for word in words]
