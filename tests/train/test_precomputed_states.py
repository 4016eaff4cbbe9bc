from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from secondpass.errors import InputError, ModelError
from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import TokenEncoder
from secondpass.train.precomputed import states as module
from secondpass.train.precomputed.states import encode_states

TEXTS = ["the slow river", "ship", "", "why is the sky blue in the storm", "river \ud800 sea"]


@pytest.fixture(scope="module")
def opened(encoder: Path) -> TokenEncoder:
    return TokenEncoder(open_folder(encoder), threads=1)


def test_states_are_those_of_the_encoder(opened: TokenEncoder, tmp_path: Path) -> None:
    states = encode_states(opened, TEXTS, tokens=8, cache=tmp_path)
    assert states.width == opened.states_width == 64
    assert states.lengths.max() <= 8
    for index, text in enumerate(TEXTS):
        ids = opened.tokenizer.encode([text], 6)[0].ids[:6]
        exact = opened.encode_one(opened.tokenizer.single(ids))
        codes, scales = states.take([index])
        assert exact.states is not None
        step = scales[:, None]
        assert (np.abs(codes * step - exact.states) <= 0.51 * step).all()
        np.testing.assert_allclose(states.embeddings[index], exact.embedding, atol=1e-5)


def test_what_is_there_is_not_computed_again(opened: TokenEncoder, tmp_path: Path) -> None:
    first = encode_states(opened, TEXTS, tokens=8, cache=tmp_path)
    before = opened.encoded
    again = encode_states(opened, TEXTS, tokens=8, cache=tmp_path)
    assert opened.encoded == before
    np.testing.assert_array_equal(first.codes, again.codes)
    encode_states(opened, TEXTS[:2], tokens=8, cache=tmp_path)
    assert opened.encoded == before + 2


def test_an_interruption_loses_a_block_at_most(
    opened: TokenEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 2)
    texts = [f"{text} {turn}" for turn in range(4) for text in TEXTS]
    whole = encode_states(opened, texts, tokens=12, cache=tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(label: str, done: int, total: int) -> None:
        if done >= 11:
            raise Stopped

    with pytest.raises(Stopped):
        encode_states(opened, texts, tokens=12, cache=tmp_path / "cut", progress=stop)
    before = opened.encoded
    resumed = encode_states(opened, texts, tokens=12, cache=tmp_path / "cut")
    assert opened.encoded - before == len(texts) - 10
    np.testing.assert_array_equal(whole.codes, resumed.codes)
    np.testing.assert_array_equal(whole.scales, resumed.scales)
    np.testing.assert_array_equal(whole.embeddings, resumed.embeddings)


def test_a_folder_that_was_not_begun_is_begun_anew(
    opened: TokenEncoder, tmp_path: Path
) -> None:
    encode_states(opened, TEXTS, tokens=8, cache=tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "done.json").unlink()
    assert encode_states(opened, TEXTS, tokens=8, cache=tmp_path).lengths.sum() > 0


def test_what_cannot_be_encoded_is_refused(
    opened: TokenEncoder, encoder: Path, tmp_path: Path
) -> None:
    for tokens in (0, 2, 10_000):
        with pytest.raises(InputError, match=f"{tokens} tokens"):
            encode_states(opened, TEXTS, tokens=tokens, cache=tmp_path)
    with pytest.raises(InputError, match="no texts"):
        encode_states(opened, [], tokens=8, cache=tmp_path)
    plain = tmp_path / "plain"
    shutil.copytree(encoder, plain)
    manifest = (plain / "secondpass.json").read_text(encoding="utf-8")
    (plain / "secondpass.json").write_text(
        manifest.replace('"states"', '"nothing"'), encoding="utf-8"
    )
    with pytest.raises(ModelError, match="no output of token states"):
        encode_states(TokenEncoder(open_folder(plain)), TEXTS, tokens=8, cache=tmp_path)
