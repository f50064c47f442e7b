"""Inference with ONNX Runtime; the only room that imports it, and ONNX."""
