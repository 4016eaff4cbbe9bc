from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.inference.query_cut import shared_tokenizer
from secondpass.rerank.window_choice import rank_windows, token_share
from secondpass.rerank.windowing import (
    PassageAggregation,
    parse_aggregation,
    split_documents,
    windows_to_read,
)

options = st.builds(
    PassageAggregation,
    aggregate=st.sampled_from(["max", "mean", "first", "top-2-mean", "top-7-mean"]),
    overlap=st.floats(0, 0.9),
    limit=st.none() | st.integers(1, 20),
)


@given(options, st.integers(0, 5000), st.integers(1, 400))
def test_windows_cover_the_text_without_gaps(
    p: PassageAggregation, tokens: int, size: int
) -> None:
    spans = p.windows(tokens, size)
    assert 1 <= len(spans) <= (p.max_windows or len(spans))
    assert spans[0][0] == 0
    assert all(end - start == min(size, tokens) for start, end in spans)
    for (_, end), (start, _) in pairwise(spans):
        assert start <= end
    assert all(a[0] < b[0] for a, b in pairwise(spans))
    assert spans[-1][1] == tokens or len(spans) == p.max_windows
    assert p.count_windows(tokens, size) == len(spans)


@given(options, st.lists(st.floats(-20, 20), min_size=1, max_size=9))
def test_combined_scores_lie_within_the_windows_scores(
    p: PassageAggregation, scores: list[float]
) -> None:
    assert min(scores) - 1e-9 <= p.combine(scores) <= max(scores) + 1e-9


def test_the_aggregates() -> None:
    scores = [1.0, 5.0, 3.0]
    assert PassageAggregation("max").combine(scores) == 5
    assert PassageAggregation("mean").combine(scores) == 3
    assert PassageAggregation("first").combine(scores) == 1
    assert PassageAggregation("top-2-mean").combine(scores) == 4
    assert PassageAggregation("top-9-mean").combine(scores) == 3
    assert PassageAggregation("first").windows(100, 10) == [(0, 10)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("maximum",),
        ("top-0-mean",),
        ("max", 1.0),
        ("max", -0.1),
        ("max", 0.1, 0),
        (None,),
        (3,),
    ],
)
def test_what_cannot_be_used_is_refused(arguments: tuple) -> None:
    with pytest.raises(InputError):
        PassageAggregation(*arguments)


def test_parsing() -> None:
    assert parse_aggregation(None) == PassageAggregation()
    assert parse_aggregation("mean") == PassageAggregation("mean")
    assert parse_aggregation(PassageAggregation("first")) == PassageAggregation("first")


_words = st.sampled_from(["river", "sea", "Donaudampfschiff", "鉄道の駅", "x", "№9", "ünïcode"])
_texts = (st.lists(_words, max_size=60) | st.lists(_words, min_size=200, max_size=300)).map(
    " ".join
)


@given(
    head=_texts,
    body=_texts,
    query=_texts,
    max_tokens=st.sampled_from([16, 17, 40, 128, 140]),
    reach=st.integers(1, 900),
    share=st.integers(1, 200),
    passages=options,
)
def test_every_token_is_in_a_window_that_is_read_or_counted_as_unread(
    head: str,
    body: str,
    query: str,
    max_tokens: int,
    reach: int,
    share: int,
    passages: PassageAggregation,
) -> None:
    tokenizer = shared_tokenizer()
    (whole,) = split_documents(
        tokenizer, [(head, body)], max_tokens=max_tokens, passages=passages, reach=reach
    )
    read = whole.choose(query, body, passages=passages, tokens=share)
    assert read == whole.choose(query, body, passages=passages, tokens=share)
    assert 1 <= len(read.ids) == len(read.spans) <= len(whole.ids)
    assert set(read.spans) <= set(whole.spans)
    assert all(len(ids) <= max_tokens for ids in read.ids)

    # The head is cut where it does not fit; what is left of it is in every window.
    (body_ids,) = tokenizer.encode([body], limit=1000)
    head_tokens = len(whole.ids[0]) - sum(end <= whole.spans[0][1] for end in body_ids.ends)
    (head_ids,) = tokenizer.encode([head], limit=1000)
    head_unread = (
        0 if head_tokens == len(head_ids.ids) else len(head) - head_ids.ends_at(head_tokens)
    )
    assert all(list(ids[:head_tokens]) == list(head_ids.ids[:head_tokens]) for ids in read.ids)
    characters = {i for start, end in read.spans for i in range(start, end)}
    assert len(characters) + read.unread == len(body) + head_unread

    # The caps act: on where windows are, and on how many are read.
    in_reach = min(len(body_ids.ids), reach - head_tokens)
    assert max(end for _, end in read.spans) <= body_ids.ends_at(in_reach)
    if in_reach <= share and passages.max_windows is None:
        assert max(end for _, end in read.spans) == body_ids.ends_at(in_reach)
    fresh = read.coarse * max(1, read.size - int(read.size * passages.overlap))
    assert fresh <= max(share, 0) + 2 * read.size


@given(st.text(max_size=30), st.lists(st.text(max_size=30), max_size=9))
def test_every_window_has_one_rank(query: str, windows: list[str]) -> None:
    ranked = rank_windows(query, windows)
    assert sorted(ranked) == list(range(len(windows)))
    assert ranked == rank_windows(query, windows)


@pytest.mark.parametrize(
    ("query", "promising"),
    [
        ("Where is the spare key kept?", "The SPARE keys hang in the vestry."),
        ("Who repaired the bridges?", "It was the bridging of the river, repairing all."),
        ("鉄道の駅はどこ", "この町には大きな鉄道駅がある。"),
        ("Где ключ?", "Запасной ключ висит в ризнице."),
    ],
)
def test_windows_with_the_words_of_the_query_are_read(query: str, promising: str) -> None:
    filler = [
        "The committee met again in the hall.",
        "委員会は再び会合した。",
        "Комитет собрался.",
    ]
    windows = [*filler, promising, *filler]
    assert rank_windows(query, windows)[0] == 3


@given(
    st.lists(st.tuples(st.text(max_size=9), st.text(max_size=200)), min_size=1, max_size=9),
    st.integers(1, 500),
)
def test_shares_keep_to_the_budget_and_use_it_up(
    texts: list[tuple[str, str]], budget: int
) -> None:
    share = token_share(texts, budget)
    sizes = [-(-len((h + b).encode("utf-8", "surrogatepass")) // 4) for h, b in set(texts)]
    assert 1 <= share <= budget
    assert share == 1 or sum(min(s, share) for s in sizes) <= budget
    assert share == budget or sum(min(s, share + 1) for s in sizes) > budget


def test_only_the_best_window_of_a_long_text_is_also_looked_for_in_finer_ones() -> None:
    best = PassageAggregation()
    assert best.fine_windows(400, 100) == best.fine_windows(5000, 127) == []
    fine = best.fine_windows(520, 128)
    assert fine[0] == (0, 64)
    assert fine[-1] == (456, 520)
    for other in ("mean", "first", "top-2-mean"):
        assert PassageAggregation(other).fine_windows(5000, 128) == []
    assert PassageAggregation(limit=50).fine_windows(5000, 128) == []


@given(st.integers(1, 6), st.integers(0, 5))
def test_of_several_windows_the_first_is_read_and_of_one_the_most_promising(
    count: int, place: int
) -> None:
    body = "".join("river " if i == place else "stone " for i in range(6))
    spans = [(6 * i, 6 * i + 6) for i in range(6)]
    chosen = windows_to_read("a river", body, spans, coarse=6, count=count)
    assert len(chosen) == count
    assert chosen == tuple(sorted(set(chosen)))
    assert place in chosen
    assert count == 1 or 0 in chosen
