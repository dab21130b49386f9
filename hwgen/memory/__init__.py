"""Memories in hardware: ROMs, stores that are loaded, queues and windows, each with what it takes and when it moves."""
