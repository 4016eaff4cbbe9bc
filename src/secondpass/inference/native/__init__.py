"""Encoders of BERT's shape with 8-bit products, in machine code of our own.

ONNX Runtime runs every model; this runs those of one shape, and faster: see
docs/explanation/native-engine.md. Where it was not compiled, or a model is of another
shape, ONNX Runtime is used.
"""
