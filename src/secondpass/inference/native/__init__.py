"""Native engine: transformer encoders with 8-bit products, compiled from C in this folder.

It runs the architectures that most rerankers have, faster than ONNX Runtime, which runs every
model: see docs/explanation/native-engine.md. Where the library was not compiled, or a model has
another architecture, ONNX Runtime is used.
"""
