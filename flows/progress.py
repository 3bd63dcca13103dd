"""Progress of a running batch: tasks publish events, the terminal listens; without a listener an event costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One table's step moved on: `done` of `total` bytes or rows, or a word on how it ended."""

    step: str  # check, upload, load, validate, freshness; day, of a backfill, whose table is the day
    table: str
    done: int = 0
    total: int = 0
    outcome: str = ""  # empty while the step runs


class StoppedError(Exception):
    """The run was asked to end: the task that receives it stops at once."""


_stopped = threading.Event()


def stop() -> None:
    """Let every task of this process end at its next `publish`."""
    _stopped.set()


def go() -> None:
    """A new run begins: nothing is stopped."""
    _stopped.clear()


_listeners: list[Callable[[Event], None]] = []


def publish(event: Event) -> None:
    """Hand the event to every listener, in the thread that publishes.

    Raises:
        StoppedError: the run was asked to end.
    """
    if _stopped.is_set():
        raise StoppedError(f"{event.step} {event.table}: the run was asked to end")
    for listener in tuple(_listeners):
        listener(event)


@contextmanager
def listening(listener: Callable[[Event], None]) -> Iterator[None]:
    """`listener` receives every event published inside the block; it must be quick and thread-safe."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
