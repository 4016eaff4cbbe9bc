"""Tiny models with random weights in the Hugging Face folder layout, created by the tests.

Each has `config.json`, `model.safetensors` and `tokenizer.json`, and is like the real
architecture in what a loader must get right: segment ids or not, special tokens, padding id,
position offsets, number of labels.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SHAPES = ("bert", "roberta", "modernbert", "deberta")
MORE_SHAPES = ("xlm-roberta", "electra", "distilbert")
"""Shapes that differ from the others only in what transformers makes of them."""
MAX_TOKENS = 64
WIDTH = 32
_WORDS = (
    "a an and are blue bread by can change do does for forget fly from help how i in is it "
    "lost mail my new of on or password put reset river sea ship sky slow storm the to water "
    "was what when where who why with yes you your"
)


def tiny_tokenizer(folder: Path, shape: str) -> int:
    """Write a small `tokenizer.json` and its settings; return the vocabulary size."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    shape = "roberta" if shape == "xlm-roberta" else shape
    specials = (
        ["<s>", "<pad>", "</s>", "<unk>"]
        if shape == "roberta"
        else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    )
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789.,?!")
    pieces = [*specials, *letters, *("##" + letter for letter in letters), *_WORDS.split()]
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
        special_tokens=[(token, vocabulary[token]) for token in (first, last)],
    )
    # Real folders are often saved with both enabled: an export must disable them.
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
        "hidden_size": WIDTH,
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
    if shape == "electra":
        return transformers.ElectraConfig(
            **common, embedding_size=16, max_position_embeddings=MAX_TOKENS, pad_token_id=0
        )
    if shape == "distilbert":
        return transformers.DistilBertConfig(
            vocab_size=vocabulary,
            dim=WIDTH,
            hidden_dim=64,
            n_layers=2,
            n_heads=4,
            num_labels=labels,
            initializer_range=0.4,
            max_position_embeddings=MAX_TOKENS,
            pad_token_id=0,
        )
    if shape in ("roberta", "xlm-roberta"):
        config = transformers.RobertaConfig
        return (config if shape == "roberta" else transformers.XLMRobertaConfig)(
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
    raise ValueError(f"unknown shape {shape!r}: one of {SHAPES + MORE_SHAPES}")


def tiny_cross_encoder(
    folder: Path, shape: str = "bert", labels: int = 1, **changes: Any
) -> Any:
    """Write a tiny sequence classifier into `folder` and return the transformers model.

    `changes` are fields of its configuration.
    """
    return _tiny(folder, shape, labels, "AutoModelForSequenceClassification", **changes)


def tiny_embedder(folder: Path, shape: str = "bert") -> Any:
    """Write a tiny encoder without a head into `folder` and return the transformers model."""
    return _tiny(folder, shape, 2, "AutoModel")


def _tiny(folder: Path, shape: str, labels: int, auto: str, **changes: Any) -> Any:
    import torch
    import transformers

    config = tiny_config(shape, tiny_tokenizer(folder, shape), labels)
    config.update(changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        model = getattr(transformers, auto).from_config(config).eval()
    model.save_pretrained(folder)
    return model


CODES = 8
STATES_AFTER = 1


def tiny_encoder_with_states(folder: Path) -> None:
    """Write an exported tiny embedder whose graph also outputs the states of its tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config("bert", tiny_tokenizer(folder, "bert"))
    config.save_pretrained(folder)
    (folder / "model.onnx").write_bytes(_encoder_graph())
    _manifest(
        folder,
        architecture="embedder",
        max_length=MAX_TOKENS - 24,
        dimension=WIDTH,
        states={"layer": STATES_AFTER, "width": WIDTH},
    )


def tiny_late_interaction(folder: Path, **fields: Any) -> None:
    """Write a tiny model that outputs a vector for each token, as ColBERT does."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config("bert", tiny_tokenizer(folder, "bert"))
    config.save_pretrained(folder)
    (folder / "model.onnx").write_bytes(_token_graph())
    _manifest(folder, architecture="late-interaction", max_length=MAX_TOKENS - 24, **fields)


def tiny_reader(folder: Path, *, encoder: dict[str, str] | None = None, seed: int = 13) -> None:
    """Write a tiny precomputed reranker, with its encoder in a subfolder.

    Models of different seeds differ in both of their graphs and share their encoder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graphs = _reader_graphs(seed)
    (folder / "model.onnx").write_bytes(graphs["score"])
    (folder / "compress.onnx").write_bytes(graphs["compress"])
    if encoder is None:
        tiny_encoder_with_states(folder / "encoder")
    _manifest(
        folder,
        architecture="reader",
        max_length=MAX_TOKENS - 24,
        codes=CODES,
        encoder={"folder": "encoder"} if encoder is None else encoder,
    )


def _manifest(folder: Path, **fields: Any) -> None:
    from secondpass.inference.model_folder import MANIFEST, sha256

    files = {
        file.name: {"sha256": sha256(file), "bytes": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.suffix in (".onnx", ".json") and file.name != MANIFEST
    }
    manifest = {"format": 1, "name": f"tiny-{fields['architecture']}", **fields, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@cache
def _encoder_graph() -> bytes:
    import torch
    import transformers

    with TemporaryDirectory() as folder:
        config = tiny_config("bert", tiny_tokenizer(Path(folder), "bert"))
    config._attn_implementation = "eager"

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(config, add_pooling_layer=False)

        def forward(self, ids: Any, mask: Any) -> tuple[Any, Any]:
            layers = self.bert(ids, attention_mask=mask, output_hidden_states=True)
            weights = mask.unsqueeze(-1).to(torch.float32)
            mean = (layers.last_hidden_state * weights).sum(1) / weights.sum(1)
            unit = mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            return unit, layers.hidden_states[STATES_AFTER]

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    ids, mask = torch.full((2, 7), 3), torch.ones((2, 7), dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        encoder = Encoder().eval()
    return _export_onnx(
        encoder,
        {"input_ids": (ids, axes), "attention_mask": (mask, axes)},
        ["embeddings", "states"],
    )


@cache
def _token_graph() -> bytes:
    import torch
    import transformers

    with TemporaryDirectory() as folder:
        config = tiny_config("bert", tiny_tokenizer(Path(folder), "bert"))
    config._attn_implementation = "eager"

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = transformers.BertModel(config, add_pooling_layer=False)
            self.project = torch.nn.Linear(WIDTH, CODES, bias=False)

        def forward(self, ids: Any, mask: Any) -> Any:
            return self.project(self.bert(ids, attention_mask=mask).last_hidden_state)

    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    ids, mask = torch.full((2, 7), 3), torch.ones((2, 7), dtype=torch.int64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        model = Tokens().eval()
    inputs = {"input_ids": (ids, axes), "attention_mask": (mask, axes)}
    return _export_onnx(model, inputs, ["vectors"])


@cache
def _reader_graphs(seed: int) -> dict[str, bytes]:
    """Return the two graphs of a precomputed reranker, from modules with random weights."""
    import torch
    from torch import nn

    width = WIDTH

    class Compress(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(width, CODES, bias=False)

        def forward(self, states: Any) -> tuple[Any, Any]:
            projected = self.project(states)
            scales = projected.abs().amax(-1).clamp(min=1e-6) / 127
            return (projected / scales.unsqueeze(-1)).round().to(torch.int8), scales

    class Score(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
            self.key, self.value = nn.Linear(CODES, width), nn.Linear(CODES, width)

        def forward(
            self, states: Any, embedding: Any, codes: Any, scales: Any, mask: Any, others: Any
        ) -> Any:
            document = codes.to(torch.float32) * scales.unsqueeze(-1)
            mask_bias = (1 - mask.to(torch.float32)).unsqueeze(1) * -1e4
            attention = (
                self.query(states) @ self.key(document).transpose(1, 2) / width**0.5 + mask_bias
            )
            attended = (
                states + self.out(torch.softmax(attention, -1) @ self.value(document))
            ).mean(1)
            return 4 * (embedding * others).sum(-1) + (attended * others).sum(-1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        compress, score = Compress().eval(), Score().eval()
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    axes, embeddings = {0: batch, 1: tokens}, torch.rand(2, width)
    return {
        "compress": _export_onnx(
            compress, {"states": (torch.rand(2, 7, width), axes)}, ["codes", "scales"]
        ),
        "score": _export_onnx(
            score,
            {
                "query_states": (
                    torch.rand(1, 5, width),
                    {1: torch.export.Dim("query_tokens")},
                ),
                "query_embedding": (embeddings[:1], {}),
                "document_codes": (torch.ones((2, 7, CODES), dtype=torch.int8), axes),
                "document_scales": (torch.rand(2, 7), axes),
                "document_mask": (torch.ones((2, 7), dtype=torch.int64), axes),
                "document_embeddings": (embeddings, {0: batch}),
            },
            ["scores"],
        ),
    }


def _export_onnx(module: Any, inputs: dict[str, tuple[Any, Any]], outputs: list[str]) -> bytes:
    import warnings

    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(example for example, _ in inputs.values()),
            dynamo=True,
            dynamic_shapes=tuple(shape for _, shape in inputs.values()),
            input_names=list(inputs),
            output_names=outputs,
            opset_version=20,
            verbose=False,
        )
    return program.model_proto.SerializeToString()
