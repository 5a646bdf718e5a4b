"""From a checkpoint to a bundle: ONNX, quantisation, parity gates."""
