"""Blocks without streams in Amaranth's simulator."""

from amaranth.sim import Simulator


def simulated(component, drive, cycles, output):
    """What ``output`` is in every cycle, after ``drive`` has set the inputs of that cycle."""
    seen = []

    async def bench(ctx):
        for cycle in range(cycles):
            drive(ctx, cycle)
            seen.append(ctx.get(output))
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen
