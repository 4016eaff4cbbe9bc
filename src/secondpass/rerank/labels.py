"""From a classifier's outputs to one logit of relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondpass.errors import InputError, nearest


def label_names(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a model's outputs, in order, from its config.json.

    transformers leaves them out where there are two with the default names.
    """
    named = config.get("id2label")
    if isinstance(named, Mapping) and named:
        return tuple(str(named[k]) for k in sorted(named, key=int))
    return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels", 2))))


def positive_label(names: Sequence[str], wanted: str | int | None) -> int:
    """Return the position of the label that means "relevant": -1, the last, unless told.

    Raises `InputError` for a label that the model does not have.
    """
    if wanted is None:
        return -1
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return wanted
    if wanted in names:
        return list(names).index(str(wanted))
    raise InputError(f"The model has no label {wanted!r}", fix=nearest(str(wanted), names))


def relevance_logits(outputs: NDArray[np.float32], positive: int) -> NDArray[np.float64]:
    """Return the log-odds of the positive label, shape [pairs], from [pairs, labels].

    One label is a logit already. With more, the log-odds of the positive one under
    softmax are its output less the log-sum-exp of the others.
    """
    wide = outputs.astype(np.float64).reshape(len(outputs), -1)
    if wide.shape[1] == 1:
        return wide[:, 0]
    others = np.delete(wide, positive, axis=1)
    top = others.max(axis=1)
    logits: NDArray[np.float64] = (
        wide[:, positive] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    )
    return logits


def sigmoid(logit: float) -> float:
    """Return the probability of a logit, in double precision, without overflow."""
    if logit >= 0:
        return float(1.0 / (1.0 + np.exp(-logit)))
    odds = np.exp(logit)
    return float(odds / (1.0 + odds))
