"""The scorer of sentences, which reads whole windows: what spans.onnx is made from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from secondpass.train.precomputed.module import MASKED, words_only
from secondpass.train.precomputed.token_scorer import (
    MATCHED,
    Axes,
    TokenScorer,
    TokenScorerConfig,
)


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


class SentenceScorer(TokenScorer):
    """Says of each token of a window whether it answers, and which words it is near to.

    The parts are those of `AnswerScorer`, arranged to be cheap: whole windows are read instead
    of each sentence alone, and the query is turned into the axes of the stored codes instead of
    each token into the axes of the query. So a token takes about `codes` times (words +
    `units`) multiplications. `pool_sentences` makes scores of sentences from it.
    """

    def __init__(self, config: TokenScorerConfig, dropout: float = 0.1) -> None:
        codes, matching = config.codes, config.matching
        super().__init__(config, dropout, turn=(matching, codes), axes=codes, similarities=1)

    def turn_of(self, axes: Axes) -> Tensor:
        """Turn the words of the query into the axes of codes."""
        return axes.document.T

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
        learned, of_token, constant = self.read_query(query_states, query_embeddings, absent)
        plain = words / words.sum(1, keepdim=True).clamp(min=1)
        weights = MATCHED * (self.match_weights[0] * plain + self.match_weights[1] * learned)

        units = self.dropout(codes) @ of_token / lengths[..., None] + constant[:, None]
        similarity = (cosines + absent[..., None]).amax(1)
        units = units + self.of_similarity(similarity[..., None])
        return TokenScores(self.find_answers(units, mask), cosines, weights)


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
