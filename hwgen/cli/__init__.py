"""The command line: :mod:`hwgen.cli.main` has its commands, what they do is in those called ``commands``."""
