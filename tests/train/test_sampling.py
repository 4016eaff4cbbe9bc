from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.train.data.examples import Group
from secondpass.train.data.sampling import Sampler


@st.composite
def samplers(draw: st.DrawFn) -> Sampler:
    passages = draw(st.integers(12, 40))
    groups = []
    for number in range(draw(st.integers(1, 12))):
        indices = draw(
            st.lists(st.integers(0, passages - 1), min_size=1, max_size=8, unique=True)
        )
        positives = draw(st.integers(1, min(3, len(indices))))
        source = draw(st.sampled_from(["a", "b", ""]))
        groups.append(
            Group(f"q{number}", tuple(indices[:positives]), tuple(indices[positives:]), source)
        )
    size = draw(st.integers(2, passages - 3 + 1))
    return Sampler(
        groups,
        passages,
        size,
        draw(st.integers(1, 5)),
        draw(st.integers(0, 3)),
        draw(st.integers(0, size - 1)),
    )


@given(samplers(), st.integers(0, 3))
def test_a_sample_has_one_positive_and_only_negatives_besides(
    sampler: Sampler, epoch: int
) -> None:
    for index, group in enumerate(sampler.groups):
        sample = sampler.sample(index, epoch)
        assert sample == sampler.sample(index, epoch)
        assert len(sample.passages) == sampler.size == len(set(sample.passages))
        assert sample.passages[0] in group.positives
        assert not set(sample.negatives) & set(group.positives)
        assert set(sample.passages) <= set(range(sampler.passages))
        own = [passage for passage in sample.negatives if passage in group.negatives]
        room = max(0, sampler.size - 1 - sampler.random_negatives)
        assert len(own) >= min(room, len(group.negatives))


@given(samplers(), st.integers(0, 3))
def test_an_epoch_has_every_group_once(sampler: Sampler, epoch: int) -> None:
    batches = sampler.epoch(epoch)
    assert batches == sampler.epoch(epoch)
    assert len(batches) == sampler.steps
    assert Counter(index for batch in batches for index in batch) == Counter(
        range(len(sampler.groups))
    )
    assert max(map(len, batches)) <= sampler.batch


def test_caps_draw_anew_each_epoch() -> None:
    groups = [Group(f"q{i}", (i,), (), "big" if i < 20 else "small") for i in range(24)]
    sampler = Sampler(groups, 24, 2, 4, caps={"big": 5})
    seen = set()
    for epoch in range(4):
        indices = [index for batch in sampler.epoch(epoch) for index in batch]
        assert sum(index < 20 for index in indices) == 5
        assert sum(index >= 20 for index in indices) == 4
        seen.update(indices)
    assert len(seen) > 9
    everything = replace(sampler, caps={"": 3})
    assert sum(map(len, everything.epoch(0))) == 6


@pytest.mark.parametrize(
    "wrong",
    [{"size": 1}, {"batch": 0}, {"random_negatives": -1}, {"caps": {"a": 0}}, {"size": 10}],
)
def test_what_cannot_be_sampled_is_refused(wrong: dict[str, int]) -> None:
    settings = {"size": 3, "batch": 2, **wrong}
    with pytest.raises(InputError):
        Sampler([Group("q", (0,), (1,))], 4, **settings)
    with pytest.raises(InputError, match="no groups"):
        Sampler([], 4, 2, 2)
