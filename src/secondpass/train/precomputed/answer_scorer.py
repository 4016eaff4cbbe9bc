"""The scorer of answers in a text, for the scores of documents."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secondpass.train.precomputed.module import MASKED, words_only
from secondpass.train.precomputed.token_scorer import (
    MATCHED,
    UNIT,
    Axes,
    TokenScorer,
    TokenScorerConfig,
)


class AnswerScorer(TokenScorer):
    """Scores texts for a query: how well its words match, and whether a token answers.

    Two parts are added up. The first is late interaction (Khattab and Zaharia, SIGIR 2020):
    the mean over the words of the query of the nearest token of the text, once plain and
    once with a learned weight of each word. The second is a logit of each token, from the
    token, the query's words that it is near to (as in BiDAF, Seo et al., ICLR 2017) and a
    summary of the query, pooled over the text by the logarithm of the mean exponential.
    The second is 0 before training.

    The axes in which words and tokens are compared are those of a reranker (`use_axes`), and
    are not trained: so a reranker's graph can share its cosines with the scorer.
    """

    def __init__(self, config: TokenScorerConfig, dropout: float = 0.2) -> None:
        codes, matching = config.codes, config.matching
        super().__init__(config, dropout, turn=(codes, matching), axes=matching, similarities=3)
        self.turn.requires_grad_(False)
        self.of_attended = nn.Linear(matching, config.units, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(8.0))

    def turn_of(self, axes: Axes) -> Tensor:
        """Turn tokens into the axes of the query."""
        return axes.document

    def forward(
        self,
        query_states: Tensor,
        query_mask: Tensor,
        query_embeddings: Tensor,
        codes: Tensor,
        mask: Tensor,
        query_of: Tensor | None = None,
    ) -> Tensor:
        """Return a score for each text, float32 [texts].

        - `query_states`: [queries, words, width]; `query_mask`: [queries, words], 1 at tokens;
          `query_embeddings`: [queries, hidden].
        - `codes`: [texts, tokens, codes]; `mask`: [texts, tokens], 1 at tokens. The first and
          the last token of a query and of a text are special ones.
        - `query_of`: the query of each text; None where there is one query.
        """
        query = functional.normalize(self.match_query(query_states), dim=-1)
        document = functional.normalize(self.turn(codes), dim=-1)
        return self.score(
            query_states, query_mask, query_embeddings, query, document, mask, query_of
        )

    def score(
        self,
        query_states: Tensor,
        query_mask: Tensor,
        query_embeddings: Tensor,
        query: Tensor,
        document: Tensor,
        mask: Tensor,
        query_of: Tensor | None = None,
        length_power: float = 1.0,
    ) -> Tensor:
        """Return the scores of texts whose directions are known, float32 [texts].

        - `query`: [queries, words, matching], `document`: [texts, tokens, matching]: words and
          tokens in the axes in which they are compared, of unit length.
        - `length_power`: the part of tokens is divided by their number to this power; 1 for
          their mean, 0 for their sum.

        The others are as in `forward`.
        """

        def spread(x: Tensor) -> Tensor:
            return x if query_of is None else x[query_of]

        words = words_only(query_mask)
        absent = (1 - words) * MASKED
        directions = spread(query)
        cosines = directions @ document.transpose(1, 2)

        weights, of_token, constant = self.read_query(query_states, query_embeddings, absent)
        nearest = (cosines + ((1 - mask) * MASKED)[:, None]).amax(2)
        plain = (nearest * spread(words / words.sum(1, keepdim=True).clamp(min=1))).sum(1)
        weighted = (nearest * spread(weights)).sum(1)
        matched = self.match_weights[0] * plain + self.match_weights[1] * weighted

        cosines = cosines + spread(absent)[..., None]
        near = (cosines * self.sharpness).softmax(1).transpose(1, 2) @ directions
        best = cosines.amax(1)
        similarity = torch.stack([best, plain[:, None].expand_as(best)], dim=-1)
        similarity = torch.cat([similarity, similarity.prod(-1, keepdim=True)], dim=-1)

        units = self.dropout(document) @ spread(of_token) + spread(constant)[:, None]
        units = units + self.of_attended(near * document * (UNIT**2 / 2))
        units = units + self.of_similarity(similarity)
        inner = words_only(mask)
        answers = self.find_answers(units, mask) + (1 - inner) * MASKED
        count = inner.sum(1).clamp(min=1)
        return (
            MATCHED * matched
            + torch.logsumexp(answers, dim=1)
            - length_power * torch.log(count)
        )
