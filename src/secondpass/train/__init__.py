"""Making model folders: export to ONNX, static int8, verification. Extra `export`."""
