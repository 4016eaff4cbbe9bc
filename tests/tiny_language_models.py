"""Tiny language models with random weights, laid out as the repositories of rerankers are.

The tokenizers are of the real kinds, trained on a few sentences: bytes (Qwen), SentencePiece
pairs (Gemma) and unigrams (T5). They have no padding token where the real ones have none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secondpass.models.known import known_models

KINDS = ("qwen3", "qwen2", "gemma", "t5")
_CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_SPECIALS = {
    "qwen3": _CHAT,
    "qwen2": _CHAT,
    "gemma": ("<pad>", "<eos>", "<bos>", "<unk>"),
    "t5": ("<pad>", "</s>", "<unk>"),
}
MAX_TOKENS = 1024


def _texts() -> list[str]:
    """Return what the tokenizers are trained on: the prompts, the answers and some prose."""
    prompts = [m.prompt for m in known_models() if m.prompt is not None]
    parts = [part for prompt in prompts for part in (*prompt.parts, prompt.instruction)]
    prose = (
        "The river is slow and the sea is blue when a storm is on the sky. How do I change my "
        "password? You can reset it by mail. yes no Yes No true false 0 1 café naïve"
    )
    return [*parts, prose, prose.lower()]


def language_tokenizer(folder: Path, kind: str) -> int:
    """Write the tokenizer's files; return the size of the vocabulary."""
    import transformers
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    specials = list(_SPECIALS[kind])
    if kind == "t5":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
        trainer: Any = trainers.UnigramTrainer(
            vocab_size=200, special_tokens=specials, unk_token="<unk>", show_progress=False
        )
    elif kind == "gemma":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        trainer = trainers.BpeTrainer(
            vocab_size=500, special_tokens=specials, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        words = (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(words), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    texts = _texts()
    if kind == "gemma":
        # Pairs are not merged across a space, as in the vocabulary of Gemma.
        texts = [word for text in texts for word in text.replace(" ", " ▁").split(" ")]
    tokenizer.train_from_iterator(texts, trainer)
    if kind == "t5":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>",
            pair="$A </s> $B </s>",
            special_tokens=[("</s>", tokenizer.token_to_id("</s>"))],
        )
    # Some folders are saved with both of them left in.
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    folder.mkdir(parents=True, exist_ok=True)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return int(tokenizer.get_vocab_size())


def tiny_language_model(folder: Path, kind: str, **changes: Any) -> Any:
    """Write a tiny language model into `folder` and return the transformers model.

    `changes` are fields of its configuration.
    """
    import torch
    import transformers

    size = language_tokenizer(folder, kind)
    common: dict[str, Any] = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_TOKENS,
        "initializer_range": 0.3,
        "tie_word_embeddings": True,
    }
    config: Any
    if kind == "qwen3":
        config = transformers.Qwen3Config(**common, head_dim=8)
    elif kind == "qwen2":
        config = transformers.Qwen2Config(**common)
    elif kind == "gemma":
        config = transformers.GemmaConfig(**common, head_dim=8, pad_token_id=0, bos_token_id=2)
    else:
        config = transformers.T5Config(
            vocab_size=size,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=1,
            initializer_factor=2.0,
        )
    config.update(changes)
    auto = "AutoModelForSeq2SeqLM" if kind == "t5" else "AutoModelForCausalLM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        model = getattr(transformers, auto).from_config(config).eval()
    model.save_pretrained(folder)
    return model
