"""What stands between layers: forks, queues, width converters, rows side by side."""
