"""Devices and their families: what each has, what Yosys makes of hardware there, and the clock it can have."""
