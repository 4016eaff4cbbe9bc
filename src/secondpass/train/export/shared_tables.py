"""Leave out of a model what a bundled one has too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from secondpass.inference.model_folder import MANIFEST, open_folder, sha256
from secondpass.inference.shared_tables import BORROWS
from secondpass.models import bundled_path

# Smaller arrays are not worth it.
SMALLEST = 1 << 20


def borrow_tables(folder: Path, lender: str) -> int:
    """Replace large tables that are, byte by byte, in a bundled model; return bytes saved.

    An encoder whose embedding table was frozen in training has the same as the model that it
    came from. The folder's graph and manifest are rewritten; its digest becomes another.
    """
    import onnx

    lending = open_folder(bundled_path(lender))
    assert lending.onnx is not None
    theirs = lending.onnx.read_bytes()
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    tables: dict[str, Any] = {}
    saved = 0
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        if len(data) < SMALLEST or (offset := theirs.find(data)) < 0:
            continue
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tables[tensor.name] = {
            "offset": offset,
            "shape": list(tensor.dims),
            "dtype": kind.name,
        }
        saved += len(data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entries = {"location": lender, "offset": offset, "length": len(data)}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
    if not tables:
        return 0
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest[BORROWS] = {"model": lender, "digest": lending.digest, "tables": tables}
    file = folder / "model.onnx"
    manifest["files"]["model.onnx"] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return saved
