"""Export of models to ONNX, int8 quantization, and verification of the result."""
