"""How many copies of a shard Ray keeps: by the work in the queues of its copies.

Ray Serve counts calls by itself, but a call may be one passage or a hundred, or a question
about the shard. So each copy tells how many seconds of work wait in its queue, and how much of
its time it was reading; Serve averages both.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from secondpass.server.scheduler.queue import WorkQueue

_log = logging.getLogger("secondpass.server")
QUEUED, BUSY = "queued_seconds", "busy"
QUEUED_SECONDS = 0.5
"""How many seconds of work may wait at each copy, on average."""
BUSY_SHARE = 0.7
"""How much of its time each copy that is left may be reading, before one is taken away."""
# Serve is told every ten seconds, and wants to look back for longer than that.
_SHORTEST_LOOK_BACK = 12.0
_LONGEST_LOOK_BACK = 30.0
# An ingress waits for shards most of the time.
_REQUESTS_OF_INGRESS = 16


class QueueLoad:
    """What one copy tells of its queue; for one thread."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue = queue
        self._asked, self._busy = time.monotonic(), queue.busy_seconds

    def read(self) -> dict[str, float]:
        """Return the work that waits, and the share of the time since the last call."""
        now, busy = time.monotonic(), self._queue.busy_seconds
        share = (busy - self._busy) / max(now - self._asked, 1e-3)
        self._asked, self._busy = now, busy
        return {QUEUED: self._queue.waiting_seconds, BUSY: min(1.0, share)}


def count_copies(metrics: Mapping[str, Mapping[Any, float]], current: int) -> int:
    """Return how many copies a shard needs, of what its copies told on average.

    As many as keep what waits at each below `QUEUED_SECONDS`; and as long as the reading would
    not fit into fewer ones, no fewer than there are.
    """
    queued = math.ceil(sum(metrics.get(QUEUED, {}).values()) / QUEUED_SECONDS)
    busy = math.ceil(sum(metrics.get(BUSY, {}).values()) / BUSY_SHARE)
    return max(1, queued, min(current, busy))


def choose_copies(context: Any) -> tuple[int, dict[str, Any]]:
    """Return how many copies of a deployment there should be; a policy of Ray Serve."""
    metrics = context.aggregated_metrics
    if not metrics:
        # None has told anything yet.
        return context.target_num_replicas, {}
    wanted = count_copies(metrics, context.current_num_replicas)
    least, most = (
        context.capacity_adjusted_min_replicas,
        context.capacity_adjusted_max_replicas,
    )
    return max(least, min(most, wanted)), {}


def scale_shards(replicas: tuple[int, int], delays: tuple[float, float]) -> dict[str, Any]:
    """Return the options of Ray Serve for shards with so many copies, least and most.

    `delays`: for how many seconds there must be too few, or too many, before that is changed.
    """
    policy = _policy()
    config = _between(replicas, delays)
    if policy is None:
        return {"autoscaling_config": {**config, "target_ongoing_requests": 2}}
    return {"autoscaling_config": {**config, "policy": policy}}


def scale_ingress(replicas: tuple[int, int], delays: tuple[float, float]) -> dict[str, Any]:
    """Return the options of Ray Serve for what answers HTTP; see `scale_shards`."""
    config = _between(replicas, delays)
    return {"autoscaling_config": {**config, "target_ongoing_requests": _REQUESTS_OF_INGRESS}}


def _between(replicas: tuple[int, int], delays: tuple[float, float]) -> dict[str, Any]:
    (least, most), (up, down) = replicas, delays
    return {
        "min_replicas": least,
        "max_replicas": most,
        "upscale_delay_s": up,
        "downscale_delay_s": down,
        "look_back_period_s": max(_SHORTEST_LOOK_BACK, min(_LONGEST_LOOK_BACK, up)),
    }


def _policy() -> Any:
    """Return the policy as Ray Serve takes it; None for versions that take none."""
    from ray.serve import autoscaling_policy, config

    made: Any = getattr(config, "AutoscalingPolicy", None)
    # Without this the delays are not kept for policies of others.
    if made is None or not hasattr(autoscaling_policy, "_apply_autoscaling_config"):
        _log.warning("Ray Serve scales by calls, not by queued work: it is of another version")
        return None
    return made(policy_function=f"{__name__}:{choose_copies.__name__}")
