"""Boards, what goes onto them beside the accelerator, and the way to a bitstream."""
