"""Programs that are run: Yosys, Verilator and those that come as Python packages; and what is kept between runs."""
