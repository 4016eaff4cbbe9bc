"""Threads for work that waits for somebody else, so that it does not hold up the rest."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")

MOST = 128
"""asyncio's own threads are as many as processors and four, too few for waiting."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST, thread_name_prefix="secondpass-waiting")


async def in_waiting_thread(work: Callable[[], T]) -> T:
    """Run `work` in one of up to 128 threads and return what it returns."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_pool(), lambda: context.run(work))
