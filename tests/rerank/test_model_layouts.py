"""Folders as sentence-transformers and others write them, against what these libraries say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from secondpass import InputError, ModelError, Reranker
from secondpass.errors import ModelDamagedError
from secondpass.inference.model_folder import open_folder
from tests.rerank.test_cross_encoder import QUERY, TEXTS
from tests.tiny_language_models import tiny_language_model
from tests.tiny_models import MAX_TOKENS, WIDTH, tiny_cross_encoder, tiny_embedder

IDENTITY = "torch.nn.modules.linear.Identity"
SIGMOID = "torch.nn.modules.activation.Sigmoid"
sentence_transformers = pytest.importorskip("sentence_transformers")


def change_json(file: Path, **fields: Any) -> None:
    values = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(values | fields))


def save_tokenizer(folder: Path) -> None:
    """Add the tokenizer's other files, which transformers needs and secondpass does not."""
    transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)


def predicted(folder: Path) -> Any:
    """Return what sentence-transformers predicts, after the folder's activation."""
    model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
    return model.predict([(QUERY, text) for text in TEXTS], show_progress_bar=False)


def results(folder: Path) -> list[Any]:
    found = Reranker(folder).rerank(QUERY, TEXTS).results
    return sorted(found, key=lambda r: r.index)


def write_version(folder: Path, version: str, activation: str) -> None:
    """Name the activation where a version of sentence-transformers stores it."""
    config = folder / "config.json"
    if version == "3":
        change_json(config, sbert_ce_default_activation_function=activation)
    elif version == "4":
        nested = {"activation_fn": activation, "version": "4.1.0"}
        change_json(config, sentence_transformers=nested)
    else:
        settings = folder / "config_sentence_transformers.json"
        change_json(settings, activation_fn=activation, model_type="CrossEncoder", prompts={})
        kind = "sentence_transformers.base.modules.transformer.Transformer"
        modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
        (folder / "modules.json").write_text(json.dumps(modules))
        change_json(
            folder / "sentence_bert_config.json",
            transformer_task="sequence-classification",
            modality_config={"text": {"method": "forward", "method_output_name": "logits"}},
            module_output_name="scores",
        )


@pytest.mark.parametrize("version", ["3", "4", "5.4"])
@pytest.mark.parametrize("activation", [IDENTITY, SIGMOID])
def test_scores_are_the_logits_and_probabilities_their_sigmoid(
    tmp_path: Path, version: str, activation: str
) -> None:
    tiny_cross_encoder(tmp_path)
    save_tokenizer(tmp_path)
    write_version(tmp_path, version, activation)
    expected = predicted(tmp_path)
    for result, value in zip(results(tmp_path), expected, strict=True):
        found = result.score if activation == IDENTITY else result.probability
        assert found == pytest.approx(float(value), abs=1e-4)


def test_what_the_library_saves_itself_is_read(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path / "made")
    save_tokenizer(tmp_path / "made")
    model = sentence_transformers.CrossEncoder(str(tmp_path / "made"), device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    values = [r.probability for r in results(tmp_path / "saved")]
    assert values == pytest.approx([float(v) for v in predicted(tmp_path / "saved")], abs=1e-4)


@pytest.mark.parametrize("activation", [IDENTITY, SIGMOID])
def test_several_labels_are_independent_under_a_sigmoid(
    tmp_path: Path, activation: str
) -> None:
    tiny_cross_encoder(tmp_path, labels=3)
    save_tokenizer(tmp_path)
    write_version(tmp_path, "4", activation)
    expected = torch.tensor(predicted(tmp_path))
    if activation == IDENTITY:
        expected = expected.softmax(1)
    found = [r.probability for r in results(tmp_path)]
    assert found == pytest.approx(expected[:, -1].tolist(), abs=1e-4)


@pytest.fixture(scope="module")
def modular(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as those of the Ettin rerankers: an encoder, and its head in modules."""
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    root = tmp_path_factory.mktemp("modular")
    tiny_embedder(root / "encoder", "modernbert")
    save_tokenizer(root / "encoder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        modules = [
            Transformer(str(root / "encoder"), transformer_task="feature-extraction"),
            Pooling(WIDTH, "cls"),
            Dense(WIDTH, WIDTH, bias=False, activation_function=torch.nn.GELU()),
            LayerNorm(WIDTH),
            Dense(
                WIDTH,
                1,
                activation_function=torch.nn.Identity(),
                module_output_name="scores",
            ),
        ]
    model = sentence_transformers.CrossEncoder(
        modules=modules, activation_fn=torch.nn.Identity(), device="cpu"
    )
    model.save_pretrained(str(root / "saved"))
    return root / "saved"


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
def test_modules_behind_the_encoder_compute_the_score(
    modular: Path, tmp_path: Path, pooling: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(modular, folder)
    change_json(folder / "1_Pooling" / "config.json", pooling_mode=pooling)
    found = [r.score for r in results(folder)]
    assert found == pytest.approx([float(v) for v in predicted(folder)], abs=1e-4)


def test_the_fingerprint_covers_the_modules(modular: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(modular, folder)
    before = Reranker(folder).identity
    assert before == Reranker(modular).identity
    change_json(folder / "1_Pooling" / "config.json", pooling_mode="mean")
    assert Reranker(folder).identity != before


def test_modules_that_are_not_known_or_not_whole_are_refused(
    modular: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(modular, folder)
    with pytest.raises(InputError, match="no label"):
        Reranker(folder, label=1)
    dense = folder / "2_Dense" / "config.json"
    change_json(dense, activation_function="my.package.Swish")
    with pytest.raises(ModelError, match=r"my\.package\.Swish"):
        Reranker(folder)
    change_json(dense, activation_function=IDENTITY)
    change_json(folder / "1_Pooling" / "config.json", pooling_mode="weightedmean")
    with pytest.raises(ModelError, match="weightedmean"):
        Reranker(folder)
    change_json(folder / "1_Pooling" / "config.json", pooling_mode="cls")
    (folder / "3_LayerNorm" / "model.safetensors").unlink()
    with pytest.raises(ModelDamagedError, match="LayerNorm"):
        Reranker(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[3]["type"] = "my.package.Gate"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="Gate"):
        Reranker(folder)


QWEN_TEMPLATE = """<|im_start|>system
Judge whether the Document meets the requirements based on the Query and the Instruct \
provided. Note that the answer can only be "yes" or "no".<|im_end|>
<|im_start|>user
<Instruct>: Given a web search query, retrieve relevant passages that answer the query
<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}
<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | \
first }}<|im_end|>
<|im_start|>assistant
<think>

</think>

{{ "" }}"""


def test_a_language_model_that_the_library_saved_names_its_answers(tmp_path: Path) -> None:
    tiny_language_model(tmp_path / "made", "qwen3")
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path / "made")
    tokenizer.pad_token = "<|endoftext|>"
    tokenizer.model_max_length = 1024
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(tmp_path / "made")
    made = sentence_transformers.CrossEncoder(str(tmp_path / "made"), device="cpu")
    saved = tmp_path / "saved"
    made.save_pretrained(str(saved))
    expected = [float(v) for v in predicted(saved)]
    with pytest.raises(ModelError, match="prompt of the language model is not known"):
        Reranker(saved)
    change_json(saved / "secondpass.json", like="Qwen/Qwen3-Reranker-0.6B")
    assert [r.probability for r in results(saved)] == pytest.approx(expected, abs=1e-4)
    change_json(saved / "1_LogitScore" / "config.json", false_token_id=None)
    scores = [r.score for r in results(saved)]
    change_json(saved / "config_sentence_transformers.json", activation_fn=IDENTITY)
    assert scores == pytest.approx([float(v) for v in predicted(saved)], abs=1e-4)


def test_an_activation_or_a_prompt_that_is_not_supported_is_refused(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path)
    settings = tmp_path / "config_sentence_transformers.json"
    change_json(settings, activation_fn="my_package.Probability")
    with pytest.raises(ModelError, match=r"my_package\.Probability"):
        Reranker(tmp_path)
    change_json(settings, activation_fn=None, default_prompt_name="q", prompts={"q": "find: "})
    with pytest.raises(ModelError, match="default_prompt_name"):
        Reranker(tmp_path)
    change_json(settings, prompts={"q": ""})
    assert results(tmp_path)


def test_an_encoder_without_a_head_is_no_reranker(tmp_path: Path) -> None:
    tiny_embedder(tmp_path)
    with pytest.raises(ModelDamagedError, match="classifier"):
        Reranker(tmp_path)


def test_a_decoder_with_a_classifier_is_read_at_its_last_token(tmp_path: Path) -> None:
    """Without a padding token transformers takes one row at a time, which is the reference."""
    tiny_language_model(tmp_path, "qwen2")
    config = transformers.AutoConfig.from_pretrained(tmp_path, num_labels=1)
    assert config.pad_token_id is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        model = transformers.Qwen2ForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    assert open_folder(tmp_path).architecture == "cross-encoder"
    reranker = Reranker(tmp_path)
    tokenizer = reranker.base._tokenizer
    for result in reranker.rerank(QUERY, TEXTS).results:
        ids = tokenizer.ids(QUERY) + tokenizer.ids(TEXTS[result.index])
        with torch.inference_mode():
            expected = float(model(torch.tensor([ids])).logits[0, 0])
        assert result.score == pytest.approx(expected, abs=1e-4)

    # Its tokenizer reads bytes: title and text have the tokens of one text.
    document = {"title": "The river", "text": "is slow"}
    for options, text in (
        ({}, "The river is slow"),
        ({"template": "{title}, {text}"}, "The river, is slow"),
    ):
        (apart,) = reranker.rerank(QUERY, [document], **options).results
        (joined,) = reranker.rerank(QUERY, [text]).results
        assert apart.score == pytest.approx(joined.score, abs=1e-5)
