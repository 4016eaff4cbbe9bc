from __future__ import annotations

import pytest

from secondpass import Index, InputError
from secondpass.evaluate import Collection, tune
from secondpass.evaluate.tuning import choose_settings
from tests.evaluate.experiment_data import make_experiment_data


def test_tuning_promises_less_than_it_chose_by() -> None:
    data = make_experiment_data(knows=0.7)
    tuned = choose_settings(data)
    assert tuned.settings["rerank"] == "wise & old"
    assert tuned.low <= tuned.promised <= tuned.high
    assert tuned.over.mean == pytest.approx(tuned.promised - tuned.default)
    quick = choose_settings(data, max_latency_ms=16.0)
    assert quick.ms <= 16.0
    assert quick.settings["candidates"] == 5 or quick.settings["rerank"] is False
    with pytest.raises(InputError, match="no settings are as fast as 1 ms"):
        choose_settings(data, max_latency_ms=1.0)


def test_the_old_spelling_of_maximize_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "secondpass.evaluate.tuning.collect",
        lambda *arguments, **options: make_experiment_data(knows=0.7),
    )
    collection = Collection("c", {"q": "text"}, {"q": {"d": 1}})
    index: Index = None  # type: ignore[assignment]
    with pytest.warns(DeprecationWarning, match="use maximize"):
        tuned = tune(index, collection, maximise="RR@10")
    assert tuned.measure == "RR@10"
    assert tune(index, collection, maximize="RR@10") == tuned
