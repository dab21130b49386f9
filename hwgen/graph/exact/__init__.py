"""Real functions of integers as integer arithmetic, proved: requantisation and steps."""
