"""Elements in other places: reordered, cut, padded, joined, made up; and resized."""
