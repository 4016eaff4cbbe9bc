"""The training loop: the same for every architecture, and able to go on after a stop.

How the learning rate rises and falls.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from secondpass.errors import ModelError
from secondpass.evaluate.calibrators import fit_platt
from secondpass.train.data.prepare import Plan
from secondpass.train.trainer.checkpoints import RunFolder
from secondpass.train.trainer.interface import Learner, QueryBatch, precision
from secondpass.train.trainer.loss import Targets, loss
from secondpass.train.trainer.settings import Decay, Settings
from secondpass.train.trainer.validation import macro, ndcg, ranks, reciprocal_rank
from secondpass.train.trainer.weight_averaging import WeightAverage


def rate_at(share: float, warm_up: float, decay: Decay, floor: float) -> float:
    """Return the factor, 0 to 1, of the learning rate when `share` of the run is done.

    It rises in a line from 0 at the start to 1 at `warm_up`, then falls to `floor` at 1.
    """
    share = min(max(share, 0.0), 1.0)
    if share < warm_up:
        return share / warm_up
    rest = 0.0 if warm_up >= 1 else (share - warm_up) / (1 - warm_up)
    left = 1 - rest if decay == "linear" else (1 + math.cos(math.pi * rest)) / 2
    return floor + (1 - floor) * left


Progress = Callable[[str, int, int], None]
# Held-out pairs that are scored together, and steps of which a mean loss is recorded.
PAIRS_AT_ONCE = 256
RECORD_EVERY = 20


@dataclass(slots=True)
class Position:
    """How far a run is; `seconds` counts all that was spent on it so far."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: float = -1.0
    best_step: int = 0
    worse: int = 0
    done: bool = False
    losses: list[float] = field(default_factory=list)

    def as_object(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {name: getattr(self, name) for name in self.__slots__}


class Loop:
    """One run of training; `run` begins it, or goes on from its folder's checkpoint."""

    def __init__(
        self,
        learner: Learner,
        plan: Plan,
        settings: Settings,
        folder: RunFolder,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        self.learner, self.plan, self.settings, self.folder = learner, plan, settings, folder
        self.device, self.progress = device, progress
        self.module = learner.module
        self.rated = learner.rated(settings)
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": one.parameters,
                    "lr": one.rate,
                    "weight_decay": settings.weight_decay if one.decay else 0.0,
                }
                for one in self.rated
            ],
            fused=False,
        )
        self.average = WeightAverage(self.module, settings.average, settings.keep_start)
        self.at = Position()
        self.steps_an_epoch = plan.sampler.steps
        self.steps = max(1, round(settings.epochs * self.steps_an_epoch))
        self.every = settings.validate_every
        if self.every is None:
            self.every = max(1, min(self.steps_an_epoch // 4, self.steps // 4))

    def run(self) -> dict[str, Any]:
        """Train to the end and return the metrics at the start and at the best step.

        Raises ModelError if the loss or a score is not finite.
        """
        state = self.folder.restore()
        if state is not None:
            self._restore(state)
        else:
            self.folder.forget_after(-1)
        started = time.perf_counter() - self.at.seconds
        saved = time.perf_counter()
        if self.at.step == 0 and not self.at.done:
            self._validate(started)
        while not self.at.done:
            batches = self.plan.sampler.epoch(self.at.epoch)
            while self.at.batch < len(batches) and not self.at.done:
                share = self._share(started)
                if share >= 1:
                    self.at.done = True
                    break
                self._step(batches[self.at.batch], share)
                self.at.batch += 1
                self._tell(started)
                assert self.every is not None
                ends = self._share(started) >= 1
                if self.at.step % self.every == 0 or ends:
                    self._validate(started)
                    self.at.done = self.at.done or ends
                if time.perf_counter() - saved >= self.settings.checkpoint_seconds:
                    self._save(started)
                    saved = time.perf_counter()
            if not self.at.done:
                self.at.epoch, self.at.batch = self.at.epoch + 1, 0
        self._save(started)
        return self._result()

    def _share(self, started: float) -> float:
        if self.settings.minutes is not None:
            return (time.perf_counter() - started) / (60 * self.settings.minutes)
        return self.at.step / self.steps

    def _step(self, places: Sequence[int], share: float) -> None:
        settings = self.settings
        # The first step of all would not move anything at a rate of 0.
        step_share = max(share, 0.5 / self.steps) if settings.minutes is None else share
        factor = rate_at(step_share, settings.warm_up, settings.decay, settings.floor)
        for group, one in zip(self.optimiser.param_groups, self.rated, strict=True):
            group["lr"] = one.rate * factor
        epoch = self.at.epoch
        samples = [self.plan.sampler.sample(place, epoch) for place in places]
        pairs = [pair for sample in samples for pair in self.plan.pairs(sample, epoch)]
        self.module.train()
        with precision(settings, self.device):
            logits = self.learner.scores(pairs)
        logits = logits.float().view(len(samples), settings.group)
        found = loss(logits, self._targets(samples, pairs), settings)
        value = float(found.detach())
        if not math.isfinite(value):
            raise not_finite("the loss", f"step {self.at.step}")
        self.optimiser.zero_grad(set_to_none=True)
        found.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), settings.clip)
        self.optimiser.step()
        self.average.update(self.module)
        self.at.step += 1
        self.at.losses.append(value)

    def _targets(self, samples: Sequence[Any], pairs: Sequence[QueryBatch]) -> Targets:
        groups = [self.plan.groups[sample.group] for sample in samples]
        weights = [self.settings.weights.get(group.source, 1.0) for group in groups]
        cosines = self.learner.cosines(pairs) if self.settings.soft > 0 else None
        teacher = None
        if self.settings.teacher > 0 and any(group.scores is not None for group in groups):
            teacher = torch.tensor(
                [_taught(g, s.passages) for g, s in zip(groups, samples, strict=True)],
                dtype=torch.float32,
                device=self.device,
            )
        return Targets(
            torch.tensor(weights, dtype=torch.float32, device=self.device),
            None if cosines is None else cosines.view(len(samples), -1),
            teacher,
        )

    def _validate(self, started: float) -> None:
        """Judge the weights as they are now, and keep them if they are the best so far."""
        settings, row = self.settings, self._row(started)
        if not self.plan.judged:
            self.folder.save_best(self.average.weights(self.module))
            self.at.best_step = self.at.step
            self.folder.record(row)
            return
        with self.average.in_place(self.module):
            measured = judge(self.learner, self.plan, self.device, settings, self.progress)
        self.folder.record({**row, **measured})
        if measured["rr"] > self.at.best:
            self.at.best, self.at.best_step, self.at.worse = measured["rr"], self.at.step, 0
            self.folder.save_best(self.average.weights(self.module))
        else:
            self.at.worse += 1
            if settings.patience is not None and self.at.worse >= settings.patience:
                self.at.done = True

    def _row(self, started: float) -> dict[str, Any]:
        mean = float(np.mean(self.at.losses)) if self.at.losses else None
        self.at.losses.clear()
        return {
            "step": self.at.step,
            "epoch": round(self.at.epoch + self.at.batch / self.steps_an_epoch, 4),
            "seconds": round(time.perf_counter() - started, 2),
            "loss": None if mean is None else round(mean, 5),
        }

    def _tell(self, started: float) -> None:
        if self.at.step % RECORD_EVERY == 0 and self.at.losses:
            rates = [group["lr"] for group in self.optimiser.param_groups]
            self.folder.record({**self._row(started), "rates": rates})
        if self.progress is None:
            return
        if self.settings.minutes is not None:
            total = round(60 * self.settings.minutes)
            self.progress("train", min(total, round(time.perf_counter() - started)), total)
        else:
            self.progress("train", self.at.step, self.steps)

    def _save(self, started: float) -> None:
        self.at.seconds = time.perf_counter() - started
        self.folder.save(
            {
                "module": self.module.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state(),
                "position": self.at.as_object(),
                "random": torch.get_rng_state(),
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"])
        self.at = Position(**state["position"])
        torch.set_rng_state(state["random"])
        self.folder.forget_after(self.at.step)

    def _result(self) -> dict[str, Any]:
        judged = [row for row in self.folder.metrics() if "rr" in row]
        best = [row for row in judged if row["step"] == self.at.best_step]
        return {
            "steps": self.at.step,
            "seconds": round(self.at.seconds, 1),
            "best_step": self.at.best_step,
            "start": judged[0] if judged else None,
            "best": best[-1] if best else None,
        }


def not_finite(what: str, where: str) -> ModelError:
    """Return the error for weights that have gone out of bounds."""
    return ModelError(
        f"Training failed: {what} is not a finite number",
        where=where,
        fix="Use a lower --learning-rate, or other weights to start from.",
    )


def judge(
    learner: Learner,
    plan: Plan,
    device: str,
    settings: Settings,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return "rr" (mean reciprocal rank) and "ndcg" at 10, 0 to 1, of the held-out groups.

    Both are means over sources; "sources" has the reciprocal rank of each. "calibration" is
    what makes log-odds of scores, on these groups (None where nothing does).
    """
    learner.module.eval()
    flat = [pair for one in plan.judged for pair in one.pairs]
    scores: list[Tensor] = []
    with torch.no_grad(), precision(settings, device):
        for start in range(0, len(flat), PAIRS_AT_ONCE):
            scores.append(learner.scores(flat[start : start + PAIRS_AT_ONCE]).float().cpu())
            if progress is not None:
                progress("judge", min(start + PAIRS_AT_ONCE, len(flat)), len(flat))
    found = torch.cat(scores).double().numpy()
    if not np.isfinite(found).all():
        raise not_finite("a score", "the held-out queries")
    stops = np.cumsum([len(one.pairs) for one in plan.judged])
    all_ranks = [
        ranks(part, one.positives)
        for part, one in zip(np.split(found, stops[:-1]), plan.judged, strict=True)
    ]
    sources = [one.source for one in plan.judged]
    rr, each = macro([reciprocal_rank(one) for one in all_ranks], sources)
    gain, _ = macro([ndcg(one) for one in all_ranks], sources)
    rounded = {source: round(value, 5) for source, value in each.items()}
    relevant = [np.arange(len(one.pairs)) < one.positives for one in plan.judged]
    calibration = fit_platt(found, np.concatenate(relevant))
    return {
        "rr": round(rr, 6),
        "ndcg": round(gain, 6),
        "sources": rounded,
        "calibration": None if calibration is None else calibration._asdict(),
    }


def _taught(group: Any, passages: Sequence[int]) -> list[float]:
    if group.scores is None:
        return [math.nan] * len(passages)
    places = (*group.positives, *group.negatives)
    scores = dict(zip(places, group.scores, strict=True))
    return [scores.get(place, math.nan) for place in passages]
