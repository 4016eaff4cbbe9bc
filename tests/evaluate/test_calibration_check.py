"""The calibration check of a model, and its text, figure and JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from secondpass import ScoreKind
from secondpass.evaluate.calibration_check import CalibrationCheck, check_calibration
from secondpass.evaluate.report.figures import reliability_plot
from secondpass.evaluate.report.html import html_page
from secondpass.evaluate.report.json import as_object
from secondpass.evaluate.report.text import describe_calibration
from secondpass.evaluate.study import analyze
from tests.evaluate.experiment_data import make_experiment_data

MODEL = "wise & old"


def run_check(**options: object) -> CalibrationCheck:
    data = make_experiment_data(**{"knows": 1.0, "probabilities": True, **options})  # type: ignore[arg-type]
    return check_calibration(data, MODEL, mode="hybrid", depth=20)


def test_every_candidate_counts_once() -> None:
    check = run_check()
    assert check.shipped is not None
    assert check.calibrated is not None
    assert check.relevant + check.irrelevant == check.shipped.pairs == 40 * 20
    assert check.shipped.queries == check.queries == 40
    assert check.unjudged == 0
    assert check.given
    # The synthetic probabilities are overconfident, which calibration corrects.
    assert check.calibrated.error < 0.06 < check.shipped.error
    assert check.calibrated.log_loss < check.shipped.log_loss


def test_probabilities_as_scores_are_the_same_as_their_log_odds() -> None:
    data = make_experiment_data(knows=1.0, probabilities=True)
    known = data.probabilities[MODEL]
    bent = replace(
        data,
        scores={MODEL: {q: {d: float(c or 0) for d, c in f.items()} for q, f in known.items()}},
        score_kinds={MODEL: ScoreKind.PROBABILITY},
    )
    logits, probabilities = (
        check_calibration(d, MODEL, mode="bm25", depth=10).calibrated for d in (data, bent)
    )
    assert logits is not None
    assert probabilities is not None
    assert probabilities.error == pytest.approx(logits.error, abs=1e-6)


def test_too_few_labels_give_a_note_and_no_figure() -> None:
    check = run_check(queries=10, documents=5)
    assert check.shipped is None
    assert check.calibrated is None
    assert check.note is not None
    assert "too few labels" in check.note
    assert "30 relevant and 20 irrelevant pairs of 10 queries" in describe_calibration(check)
    study = analyze(
        make_experiment_data(knows=1.0, probabilities=True, queries=10, documents=5)
    )
    text = html_page(study)
    assert "There are too few labels" in text
    assert "Reliability of the probabilities" not in text


def test_a_model_without_probabilities() -> None:
    check = run_check(probabilities=False)
    assert check.shipped is None
    assert not check.given
    assert "the model gives none, " in describe_calibration(check)
    assert "as they are" not in reliability_plot(check)
    assert "calibrated here" in reliability_plot(check)


def test_scores_in_reverse_order_give_a_note() -> None:
    data = make_experiment_data(knows=1.0, probabilities=True)
    turned = {q: {d: -s for d, s in f.items()} for q, f in data.scores[MODEL].items()}
    against = replace(data, scores={MODEL: turned})
    check = check_calibration(against, MODEL, mode="hybrid", depth=20)
    assert check.calibrated is None
    assert check.shipped is not None
    assert "do not score higher" in describe_calibration(check)


def test_page_text_and_json_say_the_same() -> None:
    study = analyze(make_experiment_data(knows=1.0, probabilities=True))
    check = study.probabilities[MODEL]
    assert check.depth == study.choice.variant.depth
    assert check.shipped is not None
    report = as_object(study)
    assert report["sentences"][-1] == describe_calibration(check)
    written = json.loads(json.dumps(report))["probabilities"][MODEL]
    assert written["shipped"]["error"] == check.shipped.error
    assert "wise &amp; old" in reliability_plot(check)
    assert describe_calibration(check) in html_page(study)
