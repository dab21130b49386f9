"""Windows of a map times weights: convolutions and dense layers on the multiply-accumulate unit."""
