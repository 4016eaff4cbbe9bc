"""What tells the scores of one model from those of another."""

from __future__ import annotations

import hashlib
import json

from secondpass.inference.model_folder import ModelFolder


def folder_identity(*folders: ModelFolder, **options: str | int) -> str:
    """Return a hexadecimal SHA-256 of all in these folders that scores depend on.

    The whole manifest and configuration count besides the files' checksums, since
    calibration, limits and labels stand there: better a score computed twice than one
    served for another model's. `options` are what the caller chose, such as a label.
    """
    said = [[f.digest, f.manifest, f.config] for f in folders]
    text = json.dumps([said, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
