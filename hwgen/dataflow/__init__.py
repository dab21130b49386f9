"""The network as a pipeline of units: the ``plan`` and its ``stages``, the ``pipeline`` in hardware, its ``schedule``,
what it takes of a device (``fit``) and what it does all the time (``activity``); ``search`` finds plans."""
