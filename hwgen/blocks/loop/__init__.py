"""Layers one after the other on one array of multipliers, with weights from outside the chip."""
