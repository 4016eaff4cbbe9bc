"""Tiny models with random weights, in the Hugging Face folder layout, made on the spot.

Each holds `config.json`, `model.safetensors` and `tokenizer.json`, and is shaped like the
real architecture in what a loader must get right: segment ids or not, special tokens,
padding id, position offsets, number of labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHAPES = ("bert", "roberta", "modernbert", "deberta")
MAX_TOKENS = 64
_WORDS = (
    "a an and are blue bread by can change do does for forget fly from help how i in is it "
    "lost mail my new of on or password put reset river sea ship sky slow storm the to water "
    "was what when where who why with yes you your"
)


def tiny_tokenizer(folder: Path, shape: str) -> int:
    """Write a small `tokenizer.json` and its settings; return the vocabulary size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    specials = (
        ["<s>", "<pad>", "</s>", "<unk>"]
        if shape == "roberta"
        else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    )
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789.,?!")
    pieces = [*specials, *letters, *("##" + one for one in letters), *_WORDS.split()]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    unknown = "<unk>" if shape == "roberta" else "[UNK]"
    first, last = ("<s>", "</s>") if shape == "roberta" else ("[CLS]", "[SEP]")

    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(specials)
    pair = f"{first}:0 $A:0 {last}:0 $B:1 {last}:1"
    if shape == "roberta":
        pair = f"{first}:0 $A:0 {last}:0 {last}:0 $B:0 {last}:0"
    elif shape == "modernbert":
        pair = f"{first}:0 $A:0 {last}:0 $B:0 {last}:0"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=pair,
        special_tokens=[(one, vocabulary[one]) for one in (first, last)],
    )
    # Real folders are often saved with both switched on: an export must switch them off.
    pad = "<pad>" if shape == "roberta" else "[PAD]"
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(pad_id=vocabulary[pad], pad_token=pad, length=16)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def tiny_config(shape: str, vocabulary: int, labels: int = 1) -> Any:
    """Return the transformers configuration of a two-layer model of that shape."""
    import transformers

    common: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_labels": labels,
        "initializer_range": 0.4,
    }
    if shape == "bert":
        return transformers.BertConfig(
            **common, max_position_embeddings=MAX_TOKENS, pad_token_id=0
        )
    if shape == "roberta":
        return transformers.RobertaConfig(
            **common,
            max_position_embeddings=MAX_TOKENS + 2,
            type_vocab_size=1,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
        )
    if shape == "modernbert":
        common["initializer_range"] = 0.2
        return transformers.ModernBertConfig(
            **common,
            max_position_embeddings=MAX_TOKENS,
            local_attention=8,
            global_attn_every_n_layers=2,
            reference_compile=False,
            pad_token_id=0,
            cls_token_id=2,
            sep_token_id=3,
            bos_token_id=2,
            eos_token_id=3,
        )
    if shape == "deberta":
        return transformers.DebertaV2Config(
            **common,
            max_position_embeddings=MAX_TOKENS,
            type_vocab_size=0,
            relative_attention=True,
            position_buckets=8,
            norm_rel_ebd="layer_norm",
            share_att_key=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            pad_token_id=0,
        )
    raise ValueError(f"unknown shape {shape!r}: one of {SHAPES}")


def tiny_cross_encoder(folder: Path, shape: str = "bert", labels: int = 1) -> Any:
    """Write a tiny sequence classifier into `folder` and return the transformers model."""
    return _tiny(folder, shape, labels, "AutoModelForSequenceClassification")


def tiny_embedder(folder: Path, shape: str = "bert") -> Any:
    """Write a tiny encoder without a head into `folder` and return the transformers model."""
    return _tiny(folder, shape, 2, "AutoModel")


def _tiny(folder: Path, shape: str, labels: int, auto: str) -> Any:
    import torch
    import transformers

    config = tiny_config(shape, tiny_tokenizer(folder, shape), labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        model = getattr(transformers, auto).from_config(config).eval()
    model.save_pretrained(folder)
    return model
