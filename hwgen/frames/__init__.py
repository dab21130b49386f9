"""Frames: from pictures and arrays in files to what a model takes."""
