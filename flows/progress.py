"""Progress of a running batch: tasks publish events, the terminal listens; without a listener an event costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of one table's step: `done` of `total` bytes or rows, or its outcome."""

    step: str  # check, upload, load, validate, freshness; or day, of a backfill, with the day in `table`
    table: str
    done: int = 0
    total: int = 0
    outcome: str = ""  # empty while the step runs


class StoppedError(Exception):
    """The run was asked to end: the task that receives it stops at once."""


_stopped = threading.Event()


def stop() -> None:
    """Make every task of this process end at its next `publish`."""
    _stopped.set()


def go() -> None:
    """Undo `stop`, because a new run begins."""
    _stopped.clear()


_listeners: list[Callable[[Event], None]] = []


def publish(event: Event) -> None:
    """Pass the event to every listener, in the calling thread.

    Raises:
        StoppedError: the run was asked to end.
    """
    if _stopped.is_set():
        raise StoppedError(f"{event.step} {event.table}: the run was asked to end")
    for listener in tuple(_listeners):
        listener(event)


@contextmanager
def listening(listener: Callable[[Event], None]) -> Iterator[None]:
    """Pass every event published inside the `with` block to `listener`, which must be quick and thread-safe."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
