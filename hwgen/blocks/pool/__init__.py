"""Maximum and average, over windows and whole maps."""
