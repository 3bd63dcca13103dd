"""Table locks: one transaction at a time may UPDATE, DELETE, MERGE, TRUNCATE or INSERT OVERWRITE; INSERT and COPY need none.

statement ──acquire──▶ goes on, or waits until the holder commits, rolls back or is abandoned

https://docs.snowflake.com/en/sql-reference/transactions#resource-locking: a second transaction waits for the first.
#deadlocks: "Snowflake chooses the most recent statement which is part of the deadlock as the victim"; its transaction stays open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 0.25  # how often a waiting statement checks whether it is cancelled or the holder is abandoned


class DeadlockError(Exception):
    """Waiting would never end: the lock's holder waits, directly or through others, for a lock of the asking session."""


class TableLocks:
    """Which session, by its id, may change rows of which table."""

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}
        self._waiting: dict[int, str] = {}
        self._changed = threading.Condition()

    def acquire(self, table: str, owner: int, timeout: float, look: Callable[[int], None]) -> int | None:
        """Take the lock for `owner`, waiting up to `timeout` seconds; None when taken, else the session that holds it.

        `look(holder)` is called a few times a second while waiting: it raises to give up, and may end the holder's transaction.
        Raises DeadlockError at once when waiting would complete a deadlock.
        """
        deadline = time.monotonic() + timeout
        try:
            while True:
                with self._changed:
                    holder = self._owners.get(table, owner)
                    if holder == owner:
                        self._owners[table] = owner
                        return None
                    if self._closes_a_circle(owner, holder):
                        raise DeadlockError(str(holder))
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return holder
                    self._waiting[owner] = table
                    if self._changed.wait(min(left, LOOK_SECONDS)):
                        continue
                look(holder)
        finally:
            self._waiting.pop(owner, None)

    def _closes_a_circle(self, owner: int, holder: int) -> bool:
        seen: set[int] = set()
        while holder not in seen:
            seen.add(holder)
            table = self._waiting.get(holder)
            if table is None or table not in self._owners:
                return False
            holder = self._owners[table]
            if holder == owner:
                return True
        return False

    def release(self, owner: int) -> None:
        """Release all locks of `owner`."""
        with self._changed:
            for table in [t for t, o in self._owners.items() if o == owner]:
                del self._owners[table]
            self._changed.notify_all()

    def waits(self, owner: int) -> bool:
        """Whether a statement of this session waits for a lock."""
        return owner in self._waiting
