"""What the second pass does to the sample: three questions in full, then all of them counted.

    make demo

Needs an index of examples/wikipedia. Every figure is computed when this runs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass import Index, RankedDocument, RerankResponse
from secondpass.cli.output import counting, format_number

SAMPLE = Path(__file__).resolve().parent.parent / "examples" / "wikipedia"
# Two on which the right paragraph rose to the top when they were chosen, and one on which it
# fell from there.
SHOWN = ("q005", "q064", "q090")
CANDIDATES = 50
ROWS = 3
THRESHOLDS = (0.5, 0.2, 0.03)


@dataclass(frozen=True)
class Outcome:
    """Where the right paragraph of one question stood, from 1; None where it was not found.

    `right` is the probability of that paragraph, of its best passage where it was split;
    `others` are those of all other candidates.
    """

    before: int | None
    after: int | None
    right: float | None
    others: tuple[float, ...]
    first_stage_ms: float
    second_pass_ms: float


def read_sample(folder: Path = SAMPLE) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Return the questions by id, and the ids of the paragraphs that answer each."""
    lines = (folder / "queries.jsonl").read_text("utf-8").splitlines()
    questions = {row["_id"]: row["text"] for row in map(json.loads, lines)}
    answers: dict[str, set[str]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        if int(grade) > 0:
            answers.setdefault(question, set()).add(document)
    return questions, answers


def judge(response: RerankResponse, answers: set[str]) -> Outcome:
    """Return the outcome of a search whose results are all of its candidates."""
    found = [result for result in response.results if result.document_id in answers]
    others = [result for result in response.results if result.document_id not in answers]
    second_pass = response.timings.get("rerank", 0.0)
    return Outcome(
        before=min((result.first_stage_rank for result in found), default=None),
        after=min((result.rank for result in found), default=None),
        right=max((result.probability or 0.0 for result in found), default=None),
        others=tuple(result.probability or 0.0 for result in others),
        first_stage_ms=response.timings["total"] - second_pass,
        second_pass_ms=second_pass,
    )


def search(index: Index, question: str, **options: Any) -> RerankResponse:
    return index.search(question, candidates=CANDIDATES, top_k=CANDIDATES, **options)


def show(response: RerankResponse, answers: set[str], width: int) -> list[str]:
    """Return the lines of one question: both orders side by side, and the answer."""
    half = (width - 3) // 2
    before = sorted(response.results, key=lambda result: result.first_stage_rank)
    lines = [f"“{response.query}”", f"  {'FIRST STAGE':<{half}} SECOND PASS"]
    for old, new in list(zip(before, response.results, strict=True))[:ROWS]:
        left = cell(old, answers, f"{old.first_stage_rank}", half)
        right = cell(new, answers, f"{new.rank} (was {new.first_stage_rank})", half)
        lines += [f"{a:<{half}}   {b}" for a, b in zip(left, right, strict=True)]
    outcome = judge(response, answers)
    lines += ["", say_change(outcome)]
    for result in response.results:
        if result.document_id in answers and result.document is not None and result.spans:
            start, end = result.spans[0].start, result.spans[0].end
            sentence = " ".join(result.document.text[start:end].split())
            lines += textwrap.wrap(f"Its answering sentence: “{sentence}”", width)
            lines.append(f"Probability that it answers: {format_number(result.probability)}")
            break
    return lines


def cell(result: RankedDocument, answers: set[str], rank: str, width: int) -> list[str]:
    """Return a result as exactly two lines; ✓ marks a right paragraph."""
    document = result.document
    assert document is not None
    text = f"{rank} {document.title}: {document.text[:200]}"
    first, *rest = textwrap.wrap(text, width - 4, max_lines=2, placeholder=" …")
    mark = "✓" if result.document_id in answers else " "
    return [f"{mark} {first}", f"    {rest[0]}" if rest else ""]


def say_change(outcome: Outcome) -> str:
    """Return in a sentence what the second pass did for one question."""
    if outcome.before is None or outcome.after is None:
        return "The first stage did not find the right paragraph, so no second pass can help."
    if outcome.after < outcome.before:
        return f"The right paragraph (✓) rises from {outcome.before} to {outcome.after}."
    if outcome.after > outcome.before:
        return (
            f"Here the second pass does harm: the right paragraph (✓) falls from"
            f" {outcome.before} to {outcome.after}."
        )
    return f"The right paragraph (✓) stays at {outcome.after}."


def count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many questions the second pass helps, harms and leaves alone.

    A paragraph that is not among the candidates has the place after the last of them.
    """
    last = CANDIDATES + 1
    places = [
        (last if o.before is None else o.before, last if o.after is None else o.after)
        for o in outcomes
    ]
    return {
        "helped": sum(after < before for before, after in places),
        "harmed": sum(after > before for before, after in places),
        "unchanged": sum(after == before for before, after in places),
        "unchanged_top": sum(before == after == 1 for before, after in places),
        "top_before": sum(before == 1 for before, _ in places),
        "top_after": sum(after == 1 for _, after in places),
        "missed": sum(o.before is None for o in outcomes),
    }


def summarize(outcomes: Mapping[str, Outcome], questions: Mapping[str, str]) -> list[str]:
    """Return the lines on all questions."""
    found = count(list(outcomes.values()))
    lines = [
        f"All {len(outcomes)} questions of the sample, {CANDIDATES} candidates each:",
        f"  {found['helped']:>4} helped: the second pass moves the right paragraph up",
        f"  {found['harmed']:>4} harmed: it moves it down",
        f"  {found['unchanged']:>4} left alone,"
        f" {found['unchanged_top']} of them right from the beginning",
        f"The right paragraph is on top {found['top_before']} times before,"
        f" {found['top_after']} times after.",
    ]
    if found["missed"]:
        lines.append(f"{found['missed']} times the first stage did not find it at all.")
    harmed = {
        name: (o.before, o.after)
        for name, o in outcomes.items()
        if o.before is not None and o.after is not None and o.after > o.before
    }
    for name, (before, after) in harmed.items():
        lines.append(f"Harmed: “{questions[name]}” ({before} to {after})")
    first, second = (
        statistics.median(getattr(outcome, name) for outcome in outcomes.values())
        for name in ("first_stage_ms", "second_pass_ms")
    )
    lines.append(f"Median time: first stage {first:.0f} ms, second pass {second:.0f} ms.")
    return [*lines, "", *explain_probability(list(outcomes.values()))]


def explain_probability(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the lines on what a threshold keeps of the right paragraphs and of the others."""
    right = [outcome.right for outcome in outcomes if outcome.right is not None]
    others = [probability for outcome in outcomes for probability in outcome.others]
    lines = [
        "The probability is the model's own estimate that a paragraph answers the question.",
        "It does not order the results, the score does. It is for a threshold, which keeps",
    ]
    for threshold in THRESHOLDS:
        kept, wrong = (sum(p >= threshold for p in group) for group in (right, others))
        lines.append(
            f"  from {threshold:<5} {kept} of {len(right)} right paragraphs,"
            f" {wrong} of {len(others):,} others"
        )
    return [*lines, "Some of the others answer too: people chose one paragraph a question."]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=Path, default=Path("demo-index"))
    index_folder = parser.parse_args(arguments).index
    questions, answers = read_sample()
    width = min(shutil.get_terminal_size((96, 24)).columns, 120)
    with Index.open(index_folder, create=False) as index:
        for name in SHOWN:
            response = search(index, questions[name], spans=True)
            print("\n".join(["", *show(response, answers[name], width)]))
        print(flush=True)
        outcomes = {}
        with counting("Asking all questions", "questions") as progress:
            for done, (name, right) in enumerate(answers.items(), start=1):
                outcomes[name] = judge(search(index, questions[name]), right)
                progress(done, len(answers))
    print("\n".join(summarize(outcomes, questions)))


if __name__ == "__main__":
    main()
