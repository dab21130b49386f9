"""Names of models as names in hardware languages and file systems."""

import re
from pathlib import Path

_KEYWORDS = """
    always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default defparam
    design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify endtable
    endtask event for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial inout
    input instance integer join large liblist library localparam macromodule medium module nand negedge nmos nor
    noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1
    scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0
    tranif1 tri tri0 tri1 triand trior trireg unsigned use vectored wait wand weak0 weak1 while wire wor xnor xor
    """  # of Verilog-2005, annex B
_TAKEN = frozenset(_KEYWORDS.split())


def identifier(name: str) -> str:
    """``name`` with everything but letters, digits and underscores replaced, so that Verilog takes it."""
    kept = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "network"
    return f"net_{kept}" if kept[0].isdigit() or kept in _TAKEN else kept


def default_folder(model: Path) -> Path:
    """Where what is made of a model goes unless the user names a folder."""
    return Path("build") / identifier(model.stem)


def weights_folder(model: Path) -> Path:
    """Likewise for the weights of a model that are loaded."""
    return default_folder(model).with_name(f"{model.stem}_weights")
