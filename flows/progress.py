"""What a running batch tells whoever watches: tasks publish, the terminal listens; nobody listening costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One table's step moved on: `done` of `total` bytes or rows, or a word on how it ended."""

    step: str  # check, upload, load, validate, freshness
    table: str
    done: int = 0
    total: int = 0
    outcome: str = ""  # empty while the step runs


_listeners: list[Callable[[Event], None]] = []


def publish(event: Event) -> None:
    """Hand the event to every listener, in the thread that publishes."""
    for listener in tuple(_listeners):
        listener(event)


@contextmanager
def listening(listener: Callable[[Event], None]) -> Iterator[None]:
    """`listener` hears every event published inside the block; it must be quick and thread-safe."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
