"""Plans within what is asked for: ``sizing`` for a device or a rate, ``latency``, and ``explore`` for all budgets."""
