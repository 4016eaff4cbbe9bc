from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from secondpass.errors import InputError
from tests.tiny_models import tiny_embedder

TEXTS = (
    "how do i reset my password",
    "the sky was blue in the storm",
    "put the new password in the mail",
    "a ship to sea",
    "help",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    tiny_embedder(folder)
    return folder


def _taught(base: Path, texts: tuple[str, ...]) -> object:
    """What the teacher in `base` itself makes of the texts."""
    import torch
    from tokenizers import Tokenizer

    from secondpass.train.distillation import TeacherStates
    from secondpass.train.export.trace import load_model
    from secondpass.train.precomputed.states import EncoderStates

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.no_padding()
    model = load_model(base, "embedder")
    ids = [tokenizer.encode(text).ids for text in texts]
    with torch.no_grad():
        states = [model(input_ids=torch.tensor([one]))[0][0].numpy() for one in ids]
    packed = np.concatenate(states)
    scales = np.abs(packed).max(axis=1) / 127
    means = np.stack([one.mean(axis=0) for one in states])
    offsets = np.cumsum([0, *map(len, ids)])
    return TeacherStates(
        ids,
        EncoderStates(
            offsets,
            np.rint(packed / scales[:, None]).astype(np.int8),
            scales.astype(np.float32),
            (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32),
        ),
    )


def test_a_student_with_all_layers_is_its_teacher(base: Path, tmp_path: Path) -> None:
    from secondpass.train.distillation import StudentSettings, distill_encoder

    settings = StudentSettings(layers=(0, 1), minutes=1e-9)
    parts = [_taught(base, TEXTS * 4), _taught(base, TEXTS * 2)]
    result = distill_encoder(base, parts, tmp_path / "out", settings, lambda *_: None)
    assert result["steps"] == 0
    assert result["cosine"] == pytest.approx(1, abs=1e-3)
    assert result["states_error"] == pytest.approx(0, abs=1e-2)


def test_a_shallow_student_comes_nearer_and_can_be_read(base: Path, tmp_path: Path) -> None:
    from secondpass.train.distillation import StudentSettings, distill_encoder
    from secondpass.train.export.trace import load_model

    parts = [_taught(base, TEXTS * 4)]
    results = []
    for minutes in (1e-9, 0.05):
        settings = StudentSettings(layers=(1,), minutes=minutes, learning_rate=1e-2)
        results.append(
            distill_encoder(base, parts, tmp_path / str(minutes), settings, lambda *_: None)
        )
    before, after = results
    assert after["steps"] > 0
    assert after["states_error"] < before["states_error"]
    assert load_model(tmp_path / "0.05", "embedder").config.num_hidden_layers == 1


@pytest.mark.parametrize("layers", [(), (2,), (-1, 0)])
def test_layers_that_are_not_there(base: Path, tmp_path: Path, layers: tuple[int, ...]) -> None:
    from secondpass.train.distillation import StudentSettings, distill_encoder

    with pytest.raises(InputError, match="layers"):
        distill_encoder(
            base,
            [_taught(base, TEXTS)],
            tmp_path / "out",
            StudentSettings(layers=layers),
            lambda *_: None,
        )
    assert not (tmp_path / "out").exists()
