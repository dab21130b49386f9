"""What the imported operators mean: one table, their shapes and what they compute in real numbers."""
