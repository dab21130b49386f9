"""Element by element: tables, sums and products of streams, any function of a few."""
