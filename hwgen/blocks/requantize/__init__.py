"""From wide sums to narrow integers: the requantising pipeline, and searches for steps."""
