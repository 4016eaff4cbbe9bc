"""Shared tables: weights that a model reads from a bundled one, stored only once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import ModelDamagedError, ModelError
from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.models import BUNDLED, bundled_path

BORROWS = "borrows"


def load_shared_tables(folder: ModelFolder) -> dict[str, NDArray[Any]]:
    """Load the tables that a folder's graph names but does not contain.

    The manifest's `borrows` names the bundled `model`, its `digest`, and for each of `tables`
    the `offset` in its model.onnx, the `shape` and the `dtype`. Raises `ModelError` if the
    bundled model has another digest, `ModelDamagedError` for a manifest that cannot be read.
    """
    borrows = folder.manifest.get(BORROWS)
    if borrows is None:
        return {}
    try:
        name, digest = str(borrows["model"]), str(borrows["digest"])
        locations = {
            table: (int(at["offset"]), tuple(map(int, at["shape"])), np.dtype(at["dtype"]))
            for table, at in dict(borrows["tables"]).items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelDamagedError(
            "The model's shared tables cannot be read",
            where=str(folder.path),
            why=f"secondpass.json is missing or has an invalid {error}",
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
    loaded = {}
    for table, (offset, shape, dtype) in locations.items():
        count = int(np.prod(shape))
        array = np.fromfile(lender.onnx, dtype=dtype, count=count, offset=offset)
        if array.size != count:
            raise ModelDamagedError(
                f"The shared table {table} ends beyond the end of the file",
                where=str(lender.onnx),
            )
        loaded[table] = array.reshape(shape)
    return loaded
