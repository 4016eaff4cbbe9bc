"""A thread pool for calls that mostly wait for the network."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")

MAX_THREADS = 128
"""asyncio's own pool has four threads more than processors, too few for waiting."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="secondpass-waiting")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Return the result of `work`, run in one of up to 128 threads in this context."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool(), lambda: context.run(work))
