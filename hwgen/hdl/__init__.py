"""From Amaranth's elements to Verilog: each made once (``elements``), to RTLIL (``rtlil``), to text (``export``)."""
