"""Native engine: BERT encoders with 8-bit matrix products, compiled from C in this folder.

It runs models of one architecture, faster than ONNX Runtime, which runs every model: see
docs/explanation/native-engine.md. Where the library was not compiled, or a model has another
architecture, ONNX Runtime is used.
"""
