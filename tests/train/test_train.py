from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from secondpass.errors import InputError, ModelDamagedError, ModelError
from secondpass.train.data.examples import Examples
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.settings import Architecture, TrainSettings
from secondpass.train.trainer.train import RunLocation, train
from tests.train.toy_examples import toy_examples, write_pairs

SMALL = TrainSettings(
    epochs=2,
    group=4,
    batch=8,
    layers=1,
    codes=16,
    matching=0,
    hold_out=0.2,
    candidates=6,
    validate_every=4,
    query_tokens=24,
    document_tokens=24,
    learning_rate=1e-3,
    threads=1,
)
ARCHITECTURES: tuple[Architecture, ...] = ("reader", "cross-encoder")


@pytest.fixture
def small(weights: Path, encoder: Path) -> TrainSettings:
    return replace(SMALL, base=str(weights), encoder=str(encoder))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def files(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_lowers_the_loss(
    architecture: Architecture, small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    settings = replace(
        small,
        architecture=architecture,
        epochs=12,
        pointwise=0.0,
        head_rate=5e-3,
        variants=0,
        weights={"one": 2.0},
    )
    description = train(toy_examples(), settings, RunLocation(tmp_path / "run", cache=cache))
    losses = [row["loss"] for row in RunFolder(tmp_path / "run").metrics() if row["loss"]]
    assert sum(losses[-4:]) / 4 < losses[0]
    assert description["status"] == "done"
    result = description["result"]
    assert result["best"]["rr"] >= result["start"]["rr"] > 0


def test_a_run_folder_is_complete(small: TrainSettings, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = replace(small, average=0.9, soft=0.2, caps={"one": 10})
    description = train(
        toy_examples(), settings, RunLocation(out, command=("train", "pairs.jsonl"))
    )
    assert files(out) == {
        "run.json",
        "metrics.jsonl",
        "checkpoint",
        "best.safetensors",
        "states",
    }
    assert json.loads((out / "run.json").read_text(encoding="utf-8")) == description
    assert description["command"] == ["train", "pairs.jsonl"]
    assert TrainSettings.from_object(description["settings"]) == settings
    assert description["data"]["passages"] == 54
    assert description["data"]["groups"] + description["data"]["held_out"] == 54
    assert {"secondpass", "torch"} <= set(description["created_with"])
    rows = RunFolder(out).metrics()
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    validations = [row for row in rows if "rr" in row]
    assert validations[0]["step"] == 0
    assert validations[-1]["step"] == description["result"]["steps"]
    assert set(validations[0]["sources"]) == {"one", "two"}


def test_a_reader_starts_as_the_bi_encoder(
    small: TrainSettings, encoder: Path, tmp_path: Path, cache: Path
) -> None:
    from secondpass import Embedder
    from secondpass.train.data.prepare import prepare_data
    from secondpass.train.trainer.validation import macro_mean, ranks, reciprocal_rank

    shut = replace(small, gate=-1e4, epochs=0.1, codes=32)
    description = train(toy_examples(), shut, RunLocation(tmp_path / "run", cache=cache))
    data = prepare_data(toy_examples(), shut)
    embedder = Embedder(encoder)
    values = []
    for group in data.validation:
        query = embedder.encode([data.texts.queries[group.pairs[0].query]])[0]
        texts = [data.texts.passages[pair.passage] for pair in group.pairs]
        cosines = (embedder.encode(texts) @ query).astype(float)
        values.append(reciprocal_rank(ranks(cosines, group.positives)))
    mean, _ = macro_mean(values, [group.source for group in data.validation])
    assert description["result"]["start"]["rr"] == pytest.approx(mean, abs=0.02)


def test_training_ends_early_and_keeps_the_best(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    # Nothing moves at this rate, so no judging is better than the first.
    still = {"learning_rate": 1e-9, "gate_rate": 0.0, "head_rate": 0.0}
    settings = replace(small, epochs=50, patience=2, validate_every=3, **still)  # type: ignore[arg-type]
    description = train(toy_examples(), settings, RunLocation(tmp_path / "run", cache=cache))
    assert description["result"]["steps"] == 6
    assert description["result"]["best_step"] == 0


def test_a_budget_of_time_ends_training(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    settings = replace(small, minutes=0.02, epochs=1e6)
    description = train(toy_examples(), settings, RunLocation(tmp_path / "run", cache=cache))
    assert description["result"]["steps"] >= 1
    assert description["result"]["best"] is not None


def test_without_held_out_queries_the_last_weights_are_kept(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    settings = replace(small, hold_out=0.0, epochs=1)
    description = train(toy_examples(), settings, RunLocation(tmp_path / "run", cache=cache))
    assert description["result"]["best"] is None
    assert description["result"]["best_step"] == description["result"]["steps"]
    last = RunFolder(tmp_path / "run").load_checkpoint()
    assert last is not None
    assert_same(RunFolder(tmp_path / "run").load_best(), last["module"])


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["reader", "cross-encoder"])
def test_a_killed_run_goes_on_to_the_same_weights(
    architecture: Architecture, small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    settings = replace(
        small, architecture=architecture, epochs=6, checkpoint_seconds=0, average=0.8
    )
    whole = train(toy_examples(), settings, RunLocation(tmp_path / "whole", cache=cache))
    out = tmp_path / "killed"
    (tmp_path / "settings.json").write_text(json.dumps(settings.as_object()), encoding="utf-8")
    program = (
        "import json, sys, time; from pathlib import Path\n"
        "from secondpass.train.trainer.settings import TrainSettings\n"
        "from secondpass.train.trainer.train import RunLocation, train\n"
        "from tests.train.toy_examples import toy_examples\n"
        "settings = TrainSettings.from_object(json.loads(Path(sys.argv[1]).read_text()))\n"
        "slow = lambda stage, done, total: time.sleep(0.05 if stage == 'train' else 0)\n"
        "location = RunLocation(Path(sys.argv[2]), cache=Path(sys.argv[3]))\n"
        "train(toy_examples(), settings, location, slow)"
    )
    arguments = [str(tmp_path / "settings.json"), str(out), str(cache)]
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=root)
    checkpoint = out / "checkpoint" / "state.pt"
    wait_for(lambda: checkpoint.is_file() and steps_done(out) >= 8, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert RunFolder(out).description()["status"] == "running"
    assert 0 < steps_done(out) < whole["result"]["steps"]
    description = train(toy_examples(), settings, RunLocation(out, resume=True, cache=cache))
    assert_same(RunFolder(tmp_path / "whole").load_best(), RunFolder(out).load_best())
    for name in ("steps", "best_step"):
        assert description["result"][name] == whole["result"][name]
    curves = [
        [(row["step"], row.get("rr")) for row in RunFolder(one).metrics()]
        for one in (tmp_path / "whole", out)
    ]
    assert curves[0] == curves[1]


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    for _ in range(6000):
        if ready():
            return
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError("it never got that far")


def steps_done(out: Path) -> int:
    state = RunFolder(out).load_checkpoint()
    return 0 if state is None else int(state["position"]["step"])


def test_a_finished_run_that_is_resumed_stays_as_it_is(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    location = RunLocation(tmp_path / "run", cache=cache)
    first = train(toy_examples(), small, location)
    best = (tmp_path / "run" / "best.safetensors").read_bytes()
    again = train(toy_examples(), small, replace(location, resume=True))
    assert again["result"] == first["result"]
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == best


def test_a_run_is_replaced_only_if_forced(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    location = RunLocation(tmp_path / "run", cache=cache)
    train(toy_examples(), small, location)
    with pytest.raises(InputError, match="--resume"):
        train(toy_examples(), small, location)
    with pytest.raises(InputError, match="seed"):
        train(toy_examples(), replace(small, seed=4), replace(location, resume=True))
    fewer = Examples(toy_examples().passages, toy_examples().groups[:40])
    with pytest.raises(InputError, match="other data"):
        train(fewer, small, replace(location, resume=True))
    with pytest.raises(InputError, match="either"):
        train(fewer, small, replace(location, resume=True, force=True))
    description = train(fewer, small, replace(location, force=True))
    assert description["data"]["groups"] + description["data"]["held_out"] == 40

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="other files"):
        train(fewer, small, RunLocation(tmp_path / "mine", force=True))
    assert files(tmp_path / "mine") == {"notes.txt"}


def test_a_damaged_checkpoint_is_named(
    small: TrainSettings, tmp_path: Path, cache: Path
) -> None:
    location = RunLocation(tmp_path / "run", cache=cache)
    train(toy_examples(), small, location)
    state = tmp_path / "run" / "checkpoint" / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(ModelDamagedError, match=r"state\.pt"):
        train(toy_examples(), small, replace(location, resume=True))


def test_a_loss_that_is_not_finite_is_named(
    small: TrainSettings, weights: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(weights, tmp_path / "spoilt")
    file = tmp_path / "spoilt" / "model.safetensors"
    tensors = load_file(file)
    tensors["encoder.layer.1.output.dense.bias"].fill_(float("inf"))
    save_file(tensors, file, {"format": "pt"})
    settings = replace(small, architecture="cross-encoder", base=str(tmp_path / "spoilt"))
    with pytest.raises(ModelError, match="not a finite number"):
        train(toy_examples(), settings, RunLocation(tmp_path / "run"))


WRONG: tuple[dict[str, Any], ...] = (
    {"epochs": 0},
    {"minutes": -1.0},
    {"group": 1},
    {"group": 2.5},
    {"batch": 0},
    {"learning_rate": 0.0},
    {"learning_rate": float("nan")},
    {"soft": 1.5},
    {"seed": None, "threads": 0},
    {"patience": 0},
    {"architecture": "raeder"},
    {"distillation": "mse"},
    {"weights": {"one": 0.0}},
    {"batch": None},
    {"group": "8"},
)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        TrainSettings(**wrong)


def test_what_a_run_cannot_start_from_is_named(
    small: TrainSettings, encoder: Path, tmp_path: Path
) -> None:
    location = RunLocation(tmp_path / "run")
    for settings, message in (
        (replace(small, base=str(encoder)), "exported embedder"),
        (replace(small, base=str(tmp_path / "nothing")), "no folder"),
        (replace(small, layers=3), "layers"),
        (replace(small, group=55), "too few passages"),
    ):
        with pytest.raises((InputError, ModelError), match=message):
            train(toy_examples(), settings, location)
    with pytest.raises(InputError, match="no groups"):
        train(Examples(["a", "b"], []), small, location)


def test_the_data_of_a_command_is_the_data_of_the_library(tmp_path: Path) -> None:
    from secondpass.train.data.files import read_examples

    file = write_pairs(tmp_path / "pairs.jsonl", toy_examples())
    assert len(read_examples(file).groups) == 54
