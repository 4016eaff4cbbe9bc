"""Topics made from titles and texts, and the targets of their lists."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from secondpass import Reranker
from secondpass.train.listwise.list_learner import Learner, Settings, _shares
from secondpass.train.listwise.lists import Passages, TrainingList
from secondpass.train.listwise.topics import (
    LONGEST_TOPIC,
    SCORED,
    add_targets,
    count_texts,
    make_topic,
)

TITLE = "Wing loads: gusts on slender wings"
TEXT = (
    "Gusts change the loads of slender wings. We measure these loads in a tunnel."
    " The tunnel has a moving floor."
)


def ignore(stage: str, done: int, total: int) -> None:
    pass


def test_a_topic_is_a_title_a_part_of_it_keywords_or_a_sentence() -> None:
    frequencies = count_texts([TEXT, "We measure this.", "We measure that."])
    topics = {make_topic(TITLE, TEXT, frequencies, random.Random(seed)) for seed in range(200)}
    assert {TITLE, "gusts on slender wings"} <= topics
    assert "Gusts change the loads of slender wings" in topics
    keywords = {
        topic for topic in topics if set(topic.split()) <= set(TEXT.lower().split())
    } - {"gusts on slender wings"}
    assert any("loads" in topic for topic in keywords)
    # A word of every text says least.
    assert not any("measure" in topic.split()[:2] for topic in keywords)


@given(st.text(min_size=1), st.text(), st.integers())
def test_every_title_and_text_gives_a_topic(title: str, text: str, seed: int) -> None:
    topic = make_topic(title, text, count_texts([text]), random.Random(seed))
    assert topic == title or 0 < len(topic.strip()) <= LONGEST_TOPIC


def test_targets_are_the_order_of_the_model() -> None:
    passages = Passages()
    texts = [TEXT, "Boil the rice for ten minutes.", "Gusts bend the wings of a glider."]
    numbers = [passages.number("", text) for text in texts]
    one = TrainingList("x-topics", "gusts on wings", [], 0, [], numbers[1:], [0.6, 0.0, 0.5])
    add_targets([one], passages, "bundled", ignore)
    ranking = Reranker().rerank(one.query, texts).results
    assert sorted(range(3), key=lambda i: -one.targets[i]) == [r.index for r in ranking]
    assert abs(sum(one.targets)) < 1e-2


def test_candidates_without_a_target_are_dropped() -> None:
    passages = Passages()
    numbers = [passages.number("", f"Passage {i} is about gusts.") for i in range(SCORED + 9)]
    one = TrainingList("x-topics", "gusts", [], 0, [], numbers[1:], [0.5] * len(numbers))
    add_targets([one], passages, "bundled", ignore)
    assert len(one.found) == SCORED
    assert len(one.targets) == len(one.cosines) == SCORED + 1


def test_what_is_learned_of_a_topic_are_its_targets() -> None:
    items = [("", f"Passage {i} is about gusts.") for i in range(4)]
    learner = Learner(items, Settings(passages=4))
    one = TrainingList("x-topics", "gusts", [], 0, [], [1, 2], [0.6] * 3, [1.0, 2.0, -3.0])
    draws = [learner._draw(one) for _ in range(40)]
    with_own = sum(drawn[0].number == 0 for drawn in draws)
    assert 0 < with_own < 20
    for drawn in draws:
        known = {0: 1.0, 1: 2.0, 2: -3.0} if drawn[0].number == 0 else {1: 2.0, 2: -3.0}
        assert {passage.number: passage.target for passage in drawn[: len(known)]} == known
        # What is drawn from all passages is as far off as the last candidate.
        assert [passage.target for passage in drawn[len(known) :]] == [-3.0] * (4 - len(known))
        shares = _shares(drawn).tolist()
        assert abs(sum(shares) - 1) < 1e-6
        assert max(range(4), key=shares.__getitem__) == [p.number for p in drawn].index(1)
    losses = learner.losses([one])
    # Without a cosine of its own.
    assert losses.alone.item() == losses.with_cosine.item()
