"""Post-training quantisation: ranges, scales, weights and biases as integers."""
