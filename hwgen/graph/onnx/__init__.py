"""ONNX files in and out: the only room that knows the ``onnx`` package."""
