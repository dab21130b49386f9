"""Frames through a network: ``simulation`` in any engine, the ``checking`` of hardware against golden, the Verilog
``testbench``, and ONNX Runtime beside it (``runtime``, ``exact_session``)."""
