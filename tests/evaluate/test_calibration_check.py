"""What a report says of the probabilities of a model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from secondpass import ScoreKind
from secondpass.evaluate.calibration_check import Probabilities, check_probabilities
from secondpass.evaluate.report.figures import reliability_plot
from secondpass.evaluate.report.html import page
from secondpass.evaluate.report.json import as_object
from secondpass.evaluate.report.text import promises
from secondpass.evaluate.study import studied
from tests.evaluate.experiment_data import made

MODEL = "wise & old"


def checked(**how: object) -> Probabilities:
    evidence = made(**{"knows": 1.0, "chances": True, **how})  # type: ignore[arg-type]
    return check_probabilities(evidence, MODEL, mode="hybrid", depth=20)


def test_every_candidate_counts_once() -> None:
    found = checked()
    assert found.shipped is not None
    assert found.calibrated is not None
    assert found.relevant + found.irrelevant == found.shipped.pairs == 40 * 20
    assert found.shipped.queries == found.queries == 40
    assert found.unjudged == 0
    assert found.given
    # Made probabilities are too sure, and calibrating mends that.
    assert found.calibrated.error < 0.06 < found.shipped.error
    assert found.calibrated.log_loss < found.shipped.log_loss


def test_probabilities_as_scores_are_the_same_as_their_log_odds() -> None:
    evidence = made(knows=1.0, chances=True)
    known = evidence.chances[MODEL]
    bent = replace(
        evidence,
        scores={MODEL: {q: {d: float(c or 0) for d, c in f.items()} for q, f in known.items()}},
        kinds={MODEL: ScoreKind.PROBABILITY},
    )
    one, other = (
        check_probabilities(e, MODEL, mode="bm25", depth=10).calibrated
        for e in (evidence, bent)
    )
    assert one is not None
    assert other is not None
    assert other.error == pytest.approx(one.error, abs=1e-6)


def test_too_few_labels_are_told_and_not_drawn() -> None:
    found = checked(queries=10, documents=5)
    assert found.shipped is None
    assert found.calibrated is None
    assert found.note is not None
    assert "too few labels" in found.note
    assert "30 relevant and 20 irrelevant pairs of 10 queries" in promises(found)
    study = studied(made(knows=1.0, chances=True, queries=10, documents=5))
    text = page(study)
    assert "There are too few labels" in text
    assert "Reliability of the probabilities" not in text


def test_a_model_without_probabilities_is_told() -> None:
    found = checked(chances=False)
    assert found.shipped is None
    assert not found.given
    assert "the model gives none, " in promises(found)
    assert "as they are" not in reliability_plot(found)
    assert "calibrated here" in reliability_plot(found)


def test_scores_that_say_the_opposite_are_told() -> None:
    evidence = made(knows=1.0, chances=True)
    turned = {q: {d: -s for d, s in f.items()} for q, f in evidence.scores[MODEL].items()}
    against = replace(evidence, scores={MODEL: turned})
    found = check_probabilities(against, MODEL, mode="hybrid", depth=20)
    assert found.calibrated is None
    assert found.shipped is not None
    assert "do not score higher" in promises(found)


def test_page_text_and_json_say_the_same() -> None:
    study = studied(made(knows=1.0, chances=True))
    one = study.probabilities[MODEL]
    assert one.depth == study.choice.family.depth
    assert one.shipped is not None
    shown = as_object(study)
    assert shown["sentences"][-1] == promises(one)
    told = json.loads(json.dumps(shown))["probabilities"][MODEL]
    assert told["shipped"]["error"] == one.shipped.error
    assert "wise &amp; old" in reliability_plot(one)
    assert promises(one) in page(study)
