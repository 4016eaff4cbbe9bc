"""Sharing of embedding tables: tables that a bundled model has too are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from secondpass.inference.model_folder import MANIFEST, open_folder, sha256
from secondpass.inference.shared_tables import BORROWS
from secondpass.models import bundled_path

# Smaller arrays are not worth it.
MIN_BYTES = 1 << 20


def share_tables(folder: Path, bundled: str) -> int:
    """Replace large tables by references to equal ones in a bundled model; return bytes saved.

    An encoder whose embedding table was frozen in training shares it with the model that it
    started from. The folder's graph and manifest are rewritten, so that its digest changes.
    """
    import onnx

    bundled_folder = open_folder(bundled_path(bundled))
    assert bundled_folder.onnx is not None
    bundled_bytes = bundled_folder.onnx.read_bytes()
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    tables: dict[str, Any] = {}
    saved = 0
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        if len(data) < MIN_BYTES or (offset := bundled_bytes.find(data)) < 0:
            continue
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tables[tensor.name] = {
            "offset": offset,
            "shape": list(tensor.dims),
            "dtype": dtype.name,
        }
        saved += len(data)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entries = {"location": bundled, "offset": offset, "length": len(data)}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=str(value))
    if not tables:
        return 0
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest[BORROWS] = {"model": bundled, "digest": bundled_folder.digest, "tables": tables}
    file = folder / "model.onnx"
    manifest["files"]["model.onnx"] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return saved
