"""The link between a host and an accelerator on a board: one protocol, its hardware and its software.

A byte may be lost, added or changed at any place on the line; integers are never wrong, frames never lost. See
:mod:`hwgen.link.protocol`.
"""
