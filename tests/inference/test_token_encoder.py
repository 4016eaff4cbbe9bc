from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from secondpass import Embedder
from secondpass.errors import ModelDamagedError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import TokenEncoder, open_encoder
from tests.tiny_models import tiny_encoder_with_states

TEXTS = ["a blue sea", "bread", "the slow river and the storm on the sky", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("encoder")
    tiny_encoder_with_states(place)
    return place


def test_states_and_embeddings_come_from_one_pass(folder: Path) -> None:
    embedder = Embedder(folder)
    sequences = embedder.sequences(TEXTS)
    before = embedder.encoder.encoded
    seen = {}
    for batch in embedder.encoder.encode(sequences):
        assert batch.states.shape[0] == len(batch.rows)
        for row, (position, length) in enumerate(zip(batch.rows, batch.lengths, strict=True)):
            assert length == len(sequences[position][0])
            seen[position] = (batch.embeddings[row], batch.states[row, :length])
    assert sorted(seen) == [0, 1, 2, 3]
    assert embedder.encoder.encoded == before + 4
    np.testing.assert_allclose(
        [seen[i][0] for i in range(4)], embedder.encode(TEXTS), atol=1e-6
    )
    for position, sequence in enumerate(sequences):
        alone = embedder.encoder.encode_one(sequence)
        assert alone.states is not None
        np.testing.assert_allclose(alone.states, seen[position][1], atol=1e-5)


def test_one_text_is_encoded_once(folder: Path) -> None:
    embedder = Embedder(folder)
    first = embedder.encode(["a question of yes"])
    before = embedder.encoder.encoded
    again = embedder.encode(["a question of yes"])
    assert embedder.encoder.encoded == before
    np.testing.assert_array_equal(first, again)
    again[0, 0] = 7.0
    np.testing.assert_array_equal(embedder.encode(["a question of yes"]), first)
    for i in range(40):
        embedder.encode([f"{i}"])
    before = embedder.encoder.encoded
    embedder.encode(["a question of yes"])
    assert embedder.encoder.encoded == before + 1


def test_a_folder_is_opened_once_for_as_long_as_it_is_used(
    folder: Path, tmp_path: Path
) -> None:
    opened = open_folder(folder)
    # With threads of its own: other tests may hold the same files open.
    with ThreadPoolExecutor(8) as pool:
        encoders = list(pool.map(lambda _: open_encoder(opened, threads=2), range(16)))
    assert len(set(map(id, encoders))) == 1
    one, other = Embedder(folder, threads=2), Embedder(folder, threads=2)
    assert one.encoder is other.encoder is encoders[0]
    assert open_encoder(opened, threads=1) is not encoders[0]
    # The same files elsewhere are the same encoder.
    tiny_encoder_with_states(tmp_path)
    assert Embedder(tmp_path, threads=2).encoder is encoders[0]
    encoders[0].encode_one(one.sequences(["bread"])[0])
    del encoders, one, other
    gc.collect()
    assert open_encoder(opened, threads=2).encoded == 0


def test_an_embedder_without_states_stays_an_embedder() -> None:
    encoder = Embedder().encoder
    if encoder.states_width is None:
        assert encoder.encode_one(Embedder().sequences(["a"])[0]).states is None
    assert Embedder().encode([]).shape == (0, 384)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": {"layer": 1}}, "width"),
        ({"dimension": None}, "dimension|NoneType"),
        ({"max_length": "many"}, "many"),
    ],
)
def test_a_garbled_manifest(tmp_path: Path, change: dict, message: str) -> None:
    tiny_encoder_with_states(tmp_path)
    file = tmp_path / "secondpass.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ModelDamagedError, match=message):
        TokenEncoder(open_folder(tmp_path))
