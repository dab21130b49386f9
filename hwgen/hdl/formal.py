"""Proof of the stream contract for unbounded time, with nothing but Yosys.

Two rules for every output of a block. A beat that is offered stays, unchanged, until it is taken: proved by temporal
induction, with memory contents left free, so that the arithmetic drops out and only control is left.
And ``valid`` never waits for ``ready``: no combinational path leads from one to the other.
"""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.hdl.elements import Library
from hwgen.hdl.rtlil import to_rtlil
from hwgen.tools.yosys import YosysError, run_yosys

_REGISTERS = ",".join(f"-${kind}" for kind in ("dff", "dffe", "sdff", "sdffe", "sdffce", "adff", "adffe"))

_PREPARE = """
read_rtlil block.il
hierarchy -top checked
proc
flatten
opt_clean -purge
memory_collect
memory_nordff
"""

_FREE_MEMORIES = """
cutpoint t:$mem_v2
opt_clean -purge
opt -fast
async2sync
"""

#: From any state but the first on: what was offered before is not known in it.
_HOLDS = "sat -tempinduct -seq 1 -set rst 0 -prove broken 0 -verify checked\n"
#: From power-up on; what is not inductive within so few cycles lacks an invariant.
_NEVER = "sat -tempinduct -maxsteps 3 -set rst 0 -prove broken 0 -verify checked\n"

_INDEPENDENT = """
select -set cone w:{valid} %ci*:{registers}
select -assert-none @cone w:{ready} %i
"""


class ContractError(AssertionError):
    """A block whose outputs break the stream contract, with what Yosys said."""


class _Checked(wiring.Component):
    """A block and, for every output, a watch on what it offered in the cycle before."""

    def __init__(self, block: wiring.Component):
        self.block = block
        self.sinks = [name for name, member in block.signature.members.items() if member.flow == Out]
        ports = {f"{sink}_ready": In(1) for sink in self.sinks}
        sources = {name: member for name, member in block.signature.members.items() if name not in self.sinks}
        super().__init__({**sources, **ports, **{f"{sink}_valid": Out(1) for sink in self.sinks}, "broken": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = self.block
        for name in self.block.signature.members:
            if name not in self.sinks:
                wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(block, name))
        broken = 0
        for name in self.sinks:
            port, ready = getattr(block, name), getattr(self, f"{name}_ready")
            held, payload = Signal(name=f"{name}_held"), Signal(port.payload.shape(), name=f"{name}_was")
            m.d.comb += [port.ready.eq(ready), getattr(self, f"{name}_valid").eq(port.valid)]
            m.d.sync += [held.eq(port.valid & ~ready), payload.eq(port.payload)]
            changed = payload.as_value() != port.payload.as_value()
            broken = broken | (held & (~port.valid | changed))
        m.d.comb += self.broken.eq(broken)
        return m


def prove_never_broken(checked: wiring.Component) -> None:
    """Prove by induction that ``broken`` of ``checked`` is 0 in every cycle, whatever comes in; :class:`ContractError`
    where it may be 1."""
    _prove(checked, checked, _NEVER)


def prove_contract(block: wiring.Component, library: Library | None = None) -> None:
    """Prove the stream contract for every output of ``block``; :class:`ContractError` where it does not hold. What is
    in ``library`` already is not made again."""
    checked = _Checked(block)
    paths = "".join(
        _INDEPENDENT.format(valid=f"{sink}_valid", ready=f"{sink}_ready", registers=_REGISTERS)
        for sink in checked.sinks
    )
    _prove(block, checked, _HOLDS, paths, library)


def _prove(
    block: wiring.Component, checked: wiring.Component, proof: str, paths: str = "", library: Library | None = None
) -> None:
    """Run ``proof`` on ``checked``, after ``paths``; ContractError that names ``block`` where it fails."""
    script = _PREPARE + paths + _FREE_MEMORIES + proof
    try:
        run_yosys(script, inputs={"block.il": to_rtlil(checked, "checked", library=library)})
    except YosysError as error:
        raise ContractError(f"{type(block).__name__}: {error}\n{error.log[-2000:]}") from None
