"""Batches of a source, loaded one by one or by threads ahead of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from ptychopinn_backend.arrays import IntArray
from ptychopinn_backend.config.execution import ExecutionConfig
from ptychopinn_backend.data.source import GroupBatch, GroupSource


def stream(source: GroupSource, order: IntArray, batch_size: int, execution: ExecutionConfig) -> Iterator[GroupBatch]:
    """Yield the groups of `order` batch by batch, the last one maybe smaller.

    Args:
        source: where groups come from; never held in memory as a whole.
        order: (group,) indices.
        batch_size: groups per batch.
        execution: num_workers threads load `prefetch_factor` (2 unless given) batches each ahead of time.

    Yields:
        Batches in that order, whatever the number of threads.
    """
    chunks = (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    if execution.num_workers == 0:
        for chunk in chunks:
            yield source.batch(chunk)
        return
    ahead = execution.num_workers * (execution.prefetch_factor or 2)
    pending: deque[Future[GroupBatch]] = deque()
    with ThreadPoolExecutor(execution.num_workers) as pool:
        for chunk in chunks:
            pending.append(pool.submit(source.batch, chunk))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
