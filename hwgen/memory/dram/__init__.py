"""Memory outside the chip: what it promises, and what reads it over AXI."""
