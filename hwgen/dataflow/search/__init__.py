"""Plans within what is asked for: ``search`` for a device, a budget or a rate, ``latency`` for a single frame,
``smallest`` for the least device, and ``explore`` for all budgets."""
