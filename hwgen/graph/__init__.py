"""The network as mathematics, without hardware: ``ir`` and ``network`` before and after lowering, and ``golden``, which
defines what is computed. ``onnx`` reads, ``passes`` and ``quantize`` change, ``exact`` proves and ``lower`` ends it."""
