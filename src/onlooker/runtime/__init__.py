"""Serving without torch: bundles, preprocessing, tokenising, ONNX Runtime sessions, the Encoder."""
