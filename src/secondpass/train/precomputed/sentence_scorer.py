"""The scorer of sentences, which reads whole windows: what spans.onnx is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.train.precomputed.answer_scorer import MATCHED, UNIT, Axes
from secondpass.train.precomputed.module import MASKED, words_only


@dataclass(frozen=True, slots=True)
class SentenceScorerConfig:
    """The shapes of a scorer of sentences.

    - `width`: values of a query token's state; `hidden`: of an embedding; `codes`: of a stored
      token; `matching`: of the axes in which a reranker compares both.
    - `summary`: values that describe what the query asks for; `units`: of a token's features;
      `reach`: tokens that a token's features are mixed with, itself included.
    """

    width: int
    hidden: int
    codes: int
    matching: int
    summary: int = 64
    units: int = 32
    reach: int = 7


class TokenScores(NamedTuple):
    """What a scorer of sentences says of the tokens of windows.

    - `answers`: a logit of each token, float32 [windows, tokens].
    - `cosines`: how near each token is to each word, float32 [windows, words, tokens].
    - `word_weights`: what a word's nearest token counts, float32 [windows, words], or [1,
      words] of one query.
    """

    answers: Tensor
    cosines: Tensor
    word_weights: Tensor


class SentenceScorer(nn.Module):
    """Says of each token of a window whether it answers, and which words it is near to.

    The parts are those of `AnswerScorer`, arranged to be cheap: whole windows are read instead
    of each sentence alone, and the query is turned into the axes of the stored codes instead of
    each token into the axes of the query. So a token takes about `codes` times (words +
    `units`) multiplications. `pool_sentences` makes scores of sentences from it.
    """

    def __init__(self, config: SentenceScorerConfig, dropout: float = 0.1) -> None:
        super().__init__()
        self.config = config
        width, codes, units = config.width, config.codes, config.units
        self.match_query = nn.Linear(width, config.matching).requires_grad_(False)
        self.turn = nn.Linear(config.matching, codes, bias=False)
        self.word_weight = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        self.summary_weight = nn.Linear(width, 1)
        self.summary_states = nn.Linear(width, config.summary)
        self.summary_embedding = nn.Linear(config.hidden, config.summary)
        self.summary_axes = nn.Linear(config.summary, codes)
        self.of_token = nn.Linear(codes, units)
        self.of_asked = nn.Linear(codes, units, bias=False)
        self.of_summary = nn.Linear(config.summary, units, bias=False)
        self.of_similarity = nn.Linear(1, units, bias=False)
        self.mix_neighbors = nn.Conv1d(
            units, units, config.reach, padding=config.reach // 2, groups=units
        )
        self.mix_units = nn.Linear(units, units)
        self.answer = nn.Linear(units, 1)
        for last in (*self.word_weight[2].parameters(), *self.answer.parameters()):
            nn.init.zeros_(last)
        self.match_weights = nn.Parameter(torch.tensor([0.1, 0.01]))
        self.dropout = nn.Dropout(dropout)

    def use_axes(self, axes: Axes) -> None:
        """Start from the axes in which a reranker compares query and document."""
        with torch.no_grad():
            self.match_query.weight.copy_(axes.query)
            self.match_query.bias.copy_(axes.query_bias)
            self.turn.weight.copy_(axes.document.T)

    def forward(
        self,
        query_states: Tensor,
        query_mask: Tensor,
        query_embeddings: Tensor,
        codes: Tensor,
        mask: Tensor,
    ) -> TokenScores:
        """Return what is said of the tokens of each window.

        - `query_states`: [queries, words, width]; `query_mask`: [queries, words], 1 at tokens;
          `query_embeddings`: [queries, hidden].
        - `codes`: [windows, tokens, codes]; `mask`: [windows, tokens], 1 at tokens. The first
          and the last token of a query are special ones.

        There is one query for all windows, or one for each.
        """
        words = words_only(query_mask)
        absent = (1 - words) * MASKED
        directions = self.turn(functional.normalize(self.match_query(query_states), dim=-1))
        # Divided by lengths after the products: some dozens of values a token, not a hundred.
        lengths = codes.norm(dim=-1).clamp(min=1e-12)
        cosines = directions @ codes.transpose(1, 2) / lengths[:, None]
        learned = (self.word_weight(query_states)[..., 0] + absent).softmax(-1)
        plain = words / words.sum(1, keepdim=True).clamp(min=1)
        weights = MATCHED * (self.match_weights[0] * plain + self.match_weights[1] * learned)

        attended = (self.summary_weight(query_states)[..., 0] + absent).softmax(-1)
        summary = (attended[..., None] * self.summary_states(query_states)).sum(1)
        summary = summary + self.summary_embedding(query_embeddings)
        # A token for itself, and for what is asked: one product for both, made for the query.
        asked = self.summary_axes(summary)[..., None] * self.of_asked.weight.T
        of_token = (self.of_token.weight.T + asked) * UNIT
        constant = self.of_token.bias + self.of_summary(functional.gelu(summary))
        units = self.dropout(codes) @ of_token / lengths[..., None] + constant[:, None]
        similarity = (cosines + absent[..., None]).amax(1)
        units = units + self.of_similarity(similarity[..., None])
        units = functional.relu(units) * mask[..., None]
        mixed = self.mix_neighbors(units.transpose(1, 2)).transpose(1, 2)
        units = self.dropout(units + functional.relu(mixed))
        units = units + functional.relu(self.mix_units(units))
        return TokenScores(self.answer(units)[..., 0], cosines, weights)


def pool_sentences(tokens: TokenScores, sentences: Tensor) -> Tensor:
    """Return the score of each sentence of each window, float32 [windows, sentences].

    `sentences` is [windows, sentences, tokens], 1 at the tokens of a sentence. A score is the
    weighted sum of the nearest token of each word, and the logarithm of the mean exponential of
    the answers.
    """
    outside = (1 - sentences) * MASKED
    nearest = torch.stack(
        [(tokens.cosines + one[:, None]).amax(2) for one in outside.unbind(1)], dim=1
    )
    matched = (nearest * tokens.word_weights[:, None]).sum(2)
    pooled = torch.logsumexp(tokens.answers[:, None] + outside, dim=2)
    return matched + pooled - torch.log(sentences.sum(2).clamp(min=1))
