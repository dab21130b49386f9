"""AMD 7 series, UltraScale and UltraScale+."""

from ..family import EBR, BlockRam, Family, LutRam, PerBit, Shape, UsualClock
from ..needs import Needs

# Block RAM: halves of 18 kbit and whole blocks of 36. The widest shape of each has one port to read and one to write.
_WHOLE = (*((width, 2 * depth) for width, depth in EBR), (72, 512))

_CELLS = {
    **{f"LUT{inputs}": Needs(luts=1) for inputs in range(1, 7)},
    **dict.fromkeys(("SRL16E", "SRLC16E", "SRLC32E"), Needs(luts=1, ram_luts=1)),
    **dict.fromkeys(("RAM32X1S", "RAM64X1S"), Needs(luts=1, ram_luts=1)),
    **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM128X1S"), Needs(luts=2, ram_luts=2)),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), Needs(luts=4, ram_luts=4)),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D"), Needs(luts=8, ram_luts=8)),
    **dict.fromkeys(("DSP48E1", "DSP48E2"), Needs(dsps=1)),
    **dict.fromkeys(("RAMB18E1", "RAMB18E2"), Needs(brams=1)),
    **dict.fromkeys(("RAMB36E1", "RAMB36E2"), Needs(brams=2)),
    "URAM288": Needs(large=1),
}


#: UltraRAM (AMD UG573): its bytes have 9 bits, or 8.
_ULTRA = tuple(BlockRam(1, 1024, byte, ((72, 4096),)) for byte in (9, 8))


# LUTs with six inputs take in what is in front of an adder, flip-flops what is chosen from a constant; a carry alone
# takes the chain. Yosys packs adders and registers into DSP48E1, but not into DSP48E2.
def _xilinx(
    name: str,
    series: str,
    slices: str,
    dsp: int,
    lutram: LutRam,
    clock: UsualClock,
    large: tuple[BlockRam, ...] = (),
) -> Family:
    packed = slices == "dsp48e1"
    return Family(
        name=name,
        maker="AMD",
        series=series,
        clock=clock,
        synth=f"synth_xilinx -family {name} -noiopad -noclkbuf -top {{top}}",
        cells=_CELLS,
        flops="FD[RSCP]E(_1)?",
        dsp=(Shape(a=dsp, b=18, part=18, headroom=1, least=9),),
        brams=(BlockRam(1, 129, 9, EBR), BlockRam(2, 257, 9, _WHOLE)),
        lutram=lutram,
        per_bit=PerBit(
            adder=1.0,
            step=0.55,
            odd=0.0,
            gated=0.0,
            constant=0.0,
            mux=0.97,
            quad=1.0,
            fixed=0.06,
            logic=0.38,
            joining=0.1 if packed else 1.0,
            carry=0.0,
            apart=True,
            packed=packed,
        ),
        lut_inputs=6,
        free_mux=4,
        dsp_name=f"DSP ({dsp}x18)",
        bram_name="block RAM (18 kbit)",
        lut_name="LUT6",
        large=large,
        large_name="UltraRAM (288 kbit)" if large else "",
        slices=(slices,),
    )


_SMALL = LutRam(4, ((6, 32), (3, 64)))
_LARGE = LutRam(8, ((14, 32), (7, 64)))

FAMILIES = (
    _xilinx(
        "xc7",
        "7 series",
        "dsp48e1",
        25,
        _SMALL,
        UsualClock(
            100e6,
            "not measured",
            "chosen: two thirds of the 150 MHz that AMD PG067 (AXI Chip2Chip 5.0, Maximum Frequencies, table 1) gives "
            "for AXI4-Stream in an Artix-7 of grade -1",
        ),
    ),
    _xilinx(
        "xcu",
        "UltraScale",
        "dsp48e2",
        27,
        _LARGE,
        UsualClock(
            150e6,
            "not measured",
            "chosen: under a third of the 463 MHz that AMD UG984 (MicroBlaze 2025.2, Maximum Frequencies, table 1) "
            "gives for a Kintex UltraScale of the fastest grade",
        ),
    ),
    _xilinx(
        "xcup",
        "UltraScale+",
        "dsp48e2",
        27,
        _LARGE,
        UsualClock(
            150e6,
            "not measured",
            "chosen: under a quarter of the 661 MHz that AMD UG984 (MicroBlaze 2025.2, Maximum Frequencies, table 1) "
            "gives for a Zynq UltraScale+ of the fastest grade",
        ),
        _ULTRA,
    ),
)
