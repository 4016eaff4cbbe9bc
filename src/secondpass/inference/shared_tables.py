"""Tables that a model shares with a bundled one, so that they are on disk only once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.models import BUNDLED, bundled_path

BORROWS = "borrows"


def borrowed_tables(folder: ModelFolder) -> dict[str, NDArray[Any]]:
    """Return the tables that the graph of a folder names and does not hold.

    The manifest's `borrows` says whose they are and where in its model.onnx: `model`,
    `digest`, and for each of `tables` its `offset`, `shape` and `dtype`. Raises
    `ModelError` where the lender is another than recorded, `ModelDamagedError` for a
    manifest that cannot be read.
    """
    said = folder.manifest.get(BORROWS)
    if said is None:
        return {}
    try:
        name, digest, tables = str(said["model"]), str(said["digest"]), dict(said["tables"])
        places = {
            table: (int(one["offset"]), tuple(map(int, one["shape"])), np.dtype(one["dtype"]))
            for table, one in tables.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelDamagedError(
            "The model's borrowed tables cannot be read",
            where=str(folder.path),
            why=f"secondpass.json lacks or garbles {error}",
        ) from error
    lender = open_folder(bundled_path(name)) if name in BUNDLED else None
    if lender is None or lender.onnx is None or lender.digest != digest:
        raise ModelError(
            "The model shares tables with another version of a bundled model",
            where=str(folder.path),
            why=f"it was exported beside {name} {digest[:12]}…",
            fix="Use it with the version of secondpass that it was exported with, or export "
            "it again.",
        )
    found = {}
    for table, (offset, shape, kind) in places.items():
        count = int(np.prod(shape))
        array = np.fromfile(lender.onnx, dtype=kind, count=count, offset=offset)
        if array.size != count:
            raise ModelDamagedError(
                f"The borrowed table {table} ends beyond the file", where=str(lender.onnx)
            )
        found[table] = array.reshape(shape)
    return found
