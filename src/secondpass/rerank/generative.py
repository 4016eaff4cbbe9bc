"""Language models as rerankers, in this process: the logits of "yes" and "no" after a prompt.

Decoders (Qwen3-Reranker, mxbai-rerank-v2, bge-reranker-v2-gemma) and encoders with a decoder
(monoT5). What each one reads is a `Prompt` of `secondpass.models.known`.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from secondpass.errors import InputError, ModelDamagedError, ModelError, nearest
from secondpass.inference.model_folder import (
    DEFAULT_LENGTH,
    ModelFolder,
    folder_identity,
    longest_input,
)
from secondpass.inference.query_cut import QueryCut, cut_model_query
from secondpass.inference.runtimes.generative import AnswerModel
from secondpass.inference.runtimes.pretrained import needs_code
from secondpass.inference.tokenizer import Tokenizer
from secondpass.models.known import Prompt, find_known, known_models, make_prompt
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.cross_encoder import sigmoid
from secondpass.rerank.early_exit import early_exit_unsupported
from secondpass.rerank.score import Score, Scored, ScoringJob, make_window_scores
from secondpass.rerank.scoring_options import ScoringOptions
from secondpass.rerank.windowing import (
    MIN_DOCUMENT_TOKENS,
    WindowTokens,
    lead_text,
    split_documents,
    window_length,
)
from secondpass.types import Candidate, ScoreKind

Text = tuple[str, str]
"""Head and body of a document."""


class PromptTokens:
    """A prompt as token ids, around the document.

    `parts` are tokenized one by one. The part with the document is tokenized in two: up to the
    last character before it that is not a space, and behind it. The space is read with the
    document, which is where tokenizers put it.
    """

    def __init__(self, folder: ModelFolder, parts: Sequence[str], instruction: str) -> None:
        file = folder.path / "tokenizer.json"
        self._folder = folder
        self._template = Tokenizer(file)
        self.text = Tokenizer(file, read_special=False)
        self._instruction = instruction
        position = next(i for i, part in enumerate(parts) if "{document}" in part)
        before, _, after = parts[position].partition("{document}")
        self._before = [*parts[:position], before.rstrip(" ")]
        self.lead = before[len(before.rstrip(" ")) :]
        self._after = [after, *parts[position + 1 :]]

    def before(self, query: str) -> list[int]:
        """Return what is in front of the document: the same for all documents of a query."""
        return self._encode(self._before, query)

    def after(self, query: str) -> list[int]:
        """Return what is behind the document, with the query if it stands there."""
        return self._encode(self._after, query)

    def _encode(self, parts: Sequence[str], query: str) -> list[int]:
        ids: list[int] = []
        for part in parts:
            filled = query.join(
                piece.replace("{instruction}", self._instruction)
                for piece in part.split("{query}")
            )
            literal = "{query}" not in part and "{instruction}" not in part
            ids += (self._template if literal else self.text).ids(filled)
        return ids

    def answers(self, prompt: Prompt) -> list[int]:
        """Return the first token of each answer, the one whose logit is read.

        A folder of sentence-transformers names the tokens itself. Raises `InputError` for
        answers that cannot be told apart.
        """
        for module in self._folder.modules:
            if str(module.get("type", "")).endswith(".LogitScore"):
                config = self._folder.read_json(f"{module.get('path')}/config.json")
                named = (config.get("true_token_id"), config.get("false_token_id"))
                return [int(token) for token in named if token is not None]
        texts = (
            [prompt.positive] if prompt.negative is None else [prompt.positive, prompt.negative]
        )
        firsts = [self.text.ids(text)[:1] for text in texts]
        if [] in firsts or len({*map(tuple, firsts)}) < len(firsts):
            raise InputError(f"The answers {texts!r} do not begin with different tokens")
        return [ids[0] for ids in firsts]


def prompt_for(folder: ModelFolder, name: str) -> Prompt:
    """Return the prompt of a language model.

    It is in the manifest: `"prompt"` with the fields of `Prompt`, or `"like"` with the name of
    a known model; else that of the known model with the folder's name, the name it was loaded
    by, or the one in config.json. Raises `ModelError` if there is none.
    """
    if "prompt" in folder.manifest:
        try:
            return make_prompt(folder.manifest["prompt"])
        except InputError as error:
            raise ModelDamagedError(
                error.what, where=f"{folder.path}/secondpass.json", why=error.why
            ) from error
    like = folder.manifest.get("like")
    names = (
        [str(like)]
        if like is not None
        else [name, str(folder.path), str(folder.config.get("_name_or_path", ""))]
    )
    known = find_known(*names)
    if known is not None and known.prompt is not None:
        return known.prompt
    if "auto_map" in folder.config:
        raise needs_code(str(folder.path))
    prompted = [m.name for m in known_models() if m.prompt is not None]
    if like is not None:
        raise ModelError(
            f"The model {str(like)!r} has no known prompt",
            where=f"{folder.path}/secondpass.json",
            fix=nearest(str(like), prompted),
        )
    raise ModelError(
        "The prompt of the language model is not known",
        where=name,
        why="its folder does not say what it must read to judge a document",
        fix="Write the model that it was trained like into its secondpass.json, such as "
        f'{{"like": "{prompted[0]}"}}. {nearest(name, prompted)}',
    )


class GenerativeReranker(BaseReranker):
    """Scores each document by the logit of "yes" less that of "no" after a prompt.

    - `instruction`: what is asked of the documents, in a sentence; None is the manifest's, else
      the model's own, "" leaves it out.
    - `device`: where PyTorch runs it, such as "cuda"; None is the CPU.

    The part of the prompt in front of the document is read once for all documents of a query.
    Scores are logits: their sigmoid is the probability of "yes" against "no". `threads` has no
    effect: PyTorch has one number of threads for the whole process. Raises `InputError` for a
    `label`, for `early_exit`, and for an instruction to a model that takes none, `ModelError`
    for a model whose prompt is not known.
    """

    max_length: int

    def __init__(
        self,
        folder: ModelFolder,
        *,
        name: str | None = None,
        label: str | int | None = None,
        threads: int | None = None,
        early_exit: bool = False,
        instruction: str | None = None,
        device: str | None = None,
    ) -> None:
        self._name = name if name is not None else str(folder.manifest.get("name", folder.path))
        if early_exit:
            raise early_exit_unsupported(self._name)
        if label is not None:
            raise InputError(f"A language model has no label {label!r}")
        self.folder = folder
        self.prompt = prompt_for(folder, self._name)
        self.follows_instructions = self.prompt.takes_instruction
        self._latest: GenerativeReranker | None = None
        self.longest = longest_input(folder.config)
        default = str(folder.manifest.get("instruction", self.prompt.instruction))
        self._use_instruction(default if instruction is None else instruction)
        self._model = AnswerModel(folder, self._tokens.answers(self.prompt), device=device)

    def _use_instruction(self, instruction: str) -> None:
        self.instruction = instruction
        parts = self.prompt.choose(instruction)
        self._tokens = PromptTokens(self.folder, parts, instruction)
        fixed = len(self._tokens.before("")) + len(self._tokens.after(""))
        self.max_length = min(self.longest, DEFAULT_LENGTH + fixed)
        self._longest_query = self.longest - fixed - MIN_DOCUMENT_TOKENS
        if self._longest_query < 1:
            raise InputError(
                "The prompt leaves no room for a query and a document",
                why=f"it has {fixed} tokens of the {self.longest} that the model reads",
            )

    def with_instruction(self, instruction: str) -> GenerativeReranker:
        """Return a copy with another instruction, which shares the model.

        Raises `InputError` for an instruction to a model that takes none.
        """
        twin = copy.copy(self)
        twin._latest = None
        twin._use_instruction(instruction)
        return twin

    @property
    def model(self) -> str:
        """The name the model was loaded by."""
        return self._name

    @property
    def identity(self) -> str:
        """The fingerprint of the model for cache keys."""
        prompt = json.dumps(asdict(self.prompt), sort_keys=True)
        return folder_identity(
            self.folder, prompt=prompt, instruction=self.instruction, engine=self._model.engine
        )

    def cut_query(self, query: str, max_tokens: int | None) -> QueryCut:
        """Return what is read of a query; it leaves room for prompt and document."""
        return cut_model_query(self._tokens.text, query, max_tokens, self._longest_query)

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        """Score each candidate by the best of its windows.

        `options.instructions` takes the place of `instruction`.
        """
        asked = options.instructions
        if asked is not None and self.follows_instructions and asked != self.instruction:
            latest = self._latest
            if latest is None or latest.instruction != asked:
                latest = self._latest = self.with_instruction(asked)
            return latest.score(query, candidates, options)
        job = ScoringJob(query, candidates, options)
        texts = list(dict.fromkeys(options.texts(candidates)))
        read = self.cut_query(query, options.max_query_tokens).text
        before, after = self._tokens.before(read), self._tokens.after(read)
        windows = self._windows(job, texts, len(before) + len(after))
        sequences = [[*ids, *after] for found in windows.values() for ids in found.ids]
        outputs = self._model.logits(before, sequences, longest=self.longest).astype(float)
        logits = outputs[:, 0] if outputs.shape[1] == 1 else outputs[:, 0] - outputs[:, 1]
        values = iter((logits * self.prompt.scale).tolist())
        scores = {text: self._score(options, windows[text], values) for text in texts}
        return Scored(
            [scores[text] for text in options.texts(candidates)],
            ScoreKind.LOGIT,
            pairs=len(sequences),
            tokens=len(before) + sum(map(len, sequences)),
        )

    def _windows(
        self, job: ScoringJob, texts: Sequence[Text], around: int
    ) -> Mapping[Text, WindowTokens]:
        """Return the windows of each text, without the `around` tokens around the document."""
        options = job.options
        length = window_length(
            options.max_length,
            default=self.max_length,
            longest=self.longest,
            model=self._name,
        )
        length = max(length, min(self.longest, around + MIN_DOCUMENT_TOKENS))
        led = [
            lead_text(text, separator=options.separator, lead=self._tokens.lead)
            for text in texts
        ]
        found = split_documents(
            self._tokens.text,
            led,
            max_tokens=length - around,
            passages=options.passages,
            reach=options.tokens_in_reach,
        )
        return {
            text: tokens.choose(
                job.query, body, passages=options.passages, tokens=options.token_share
            ).shift(len(body) - len(text[1]))
            for text, (_, body), tokens in zip(texts, led, found, strict=True)
        }

    def _score(
        self, options: ScoringOptions, windows: WindowTokens, values: Iterator[float]
    ) -> Score:
        found = list(itertools.islice(values, len(windows.ids)))
        value = options.passages.combine(found)
        return Score(
            value,
            sigmoid(value),
            len(found),
            windows.unread,
            window_scores=make_window_scores(windows.spans, found),
        )
