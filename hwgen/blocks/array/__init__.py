"""Arrays of multipliers: running dot products of activations and weights, as trees or as cascades of DSP blocks."""
