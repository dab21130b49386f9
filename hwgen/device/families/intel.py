"""Intel Cyclone V, Arria 10 and Stratix 10."""

from ..family import BlockRam, Dsp, Family, LutRam, PerBit, Shape, UsualClock
from ..needs import Needs

# memory_bram does not look at where memories are to go. So small RAMs come first, without contents, which MLABs do not
# have in Yosys; and tables in logic, which it would find to be ROMs.
_SYNTH = """\
synth_intel_alm -family cyclonev -noiopad -noclkbuf -top {top} -run begin:map_bram
setparam -set INIT 1'x t:$mem_v2 a:ram_style=distributed %i
select t:$mem_v2 a:ram_style=distributed %i
memory_bram -rules +/intel_alm/common/lutram_mlab.txt
select t:$mem_v2 a:ram_style %d
memory_map
select -clear
synth_intel_alm -family cyclonev -noiopad -noclkbuf -top {top} -run map_bram:"""

_M10K = BlockRam(1, 1, 1, ((1, 8192), (2, 4096), (5, 2048), (10, 1024), (20, 512), (40, 256)), joined=False)
_M20K = BlockRam(1, 1, 1, ((10, 2048), (20, 1024), (40, 512)), joined=False)
_NAMES = {_M10K: "M10K", _M20K: "M20K"}

_CELLS = {
    **{f"MISTRAL_ALUT{inputs}": Needs(luts=1) for inputs in range(2, 6)},
    **dict.fromkeys(("MISTRAL_NOT", "MISTRAL_ALUT_ARITH"), Needs(luts=1)),
    "MISTRAL_ALUT6": Needs(luts=2),
    "MISTRAL_MLAB": Needs(luts=1, ram_luts=1),
    "MISTRAL_MUL9X9": Needs(dsps=1),
    "MISTRAL_MUL18X18": Needs(dsps=2),
    "MISTRAL_MUL27X27": Needs(dsps=3),
    "MISTRAL_M10K": Needs(brams=1),
}


def _intel(name: str, series: str, clock: UsualClock, dsp: Dsp, ram: BlockRam, synth: str | None = None) -> Family:
    """Logic is counted in halves of an ALM: a table of six inputs takes a whole one, smaller ones and a bit of an
    adder a half. An MLAB, ten ALMs, holds 32 words of 20 bits."""
    smallest = dsp[-1]
    return Family(
        name=name,
        maker="Intel",
        series=series,
        clock=clock,
        synth=synth,
        cells=_CELLS if synth else {},
        flops="MISTRAL_FF",
        dsp=dsp,
        brams=(ram,),
        lutram=LutRam(1, ((1, 32),)),
        per_bit=PerBit(
            adder=1.0,
            step=1.15,
            odd=0.0,
            gated=1.03,
            constant=1.32,
            mux=1.02,
            quad=1.0,
            fixed=1.06,
            logic=0.78,
            joining=2.6,
        ),
        lut_inputs=6,
        free_mux=1,
        dsp_name=f"multipliers ({smallest.a}x{smallest.b})",
        bram_name=f"block RAM ({_NAMES[ram]})",
        lut_name="ALUT (half an ALM)",
    )


#: A DSP block holds three multipliers of 9x9, two of 18x18 (one of which has a third left over) or one of 27x27 bits.
_CYCLONE_DSP = (
    Shape(a=27, b=27, part=27, least_a=19, least_b=4, units=3),
    Shape(a=18, b=18, part=18, least_a=10, least_b=4, units=2),
    Shape(a=9, b=9, part=9, least_a=4, least_b=4),
)
#: A DSP block holds two multipliers of 19x18 bits or one of 27x27.
_ARRIA_DSP = (Shape(a=27, b=27, part=27, least_a=20, least_b=4, units=2), Shape(a=19, b=18, part=18))

FAMILIES = (
    _intel(
        "cyclonev",
        "Cyclone V",
        UsualClock(
            75e6,
            "not measured",
            "chosen: under a quarter of the 315 MHz that Intel 683375 (Cyclone V handbook, 2.3 Embedded Memory "
            "Features) gives as the most for an M10K",
        ),
        _CYCLONE_DSP,
        _M10K,
        _SYNTH,
    ),
    _intel(
        "arria10",
        "Arria 10",
        UsualClock(125e6, "not measured", "chosen, no document: between the Cyclone V and UltraScale"),
        _ARRIA_DSP,
        _M20K,
    ),
    _intel(
        "stratix10",
        "Stratix 10",
        UsualClock(150e6, "not measured", "chosen, no document: as UltraScale"),
        _ARRIA_DSP,
        _M20K,
    ),
)
