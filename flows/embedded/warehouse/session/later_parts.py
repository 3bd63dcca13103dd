"""READ COMMITTED on DuckDB's snapshots: how a transaction handles tables that others changed after its own first write.

statement of an open transaction ──▶ its first DuckDB transaction, or a later one that sees what was committed since

DuckDB keeps one snapshot for a transaction; on Snowflake each statement sees what was committed before it began
(https://docs.snowflake.com/en/sql-reference/transactions#read-committed-isolation). So a statement over tables which the
transaction has not written and which have changed since runs in a later DuckDB transaction. They commit right after each other,
the first one first. A statement over tables that were written in different ones is refused.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import duckdb

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import quote

_LIKE_THE_SESSION = ("search_path", "TimeZone")


class Commits:
    """When each table was last changed by a commit, as a number that grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, int] = {}
        self.count = 0

    def add(self, tables: Iterable[str]) -> None:
        """Note that these tables have changed; called after DuckDB's COMMIT, before the locks are released."""
        with self._lock:
            self.count += 1
            self._last.update(dict.fromkeys(tables, self.count))

    def changed_since(self, tables: Iterable[str], seen: int) -> bool:
        """Whether one of them was changed by a commit that a snapshot with this count may not hold."""
        return any(self._last.get(table, 0) > seen for table in tables)


@dataclass
class Part:
    """One DuckDB transaction: what it has written, and the count of commits before its snapshot."""

    duck: duckdb.DuckDBPyConnection
    seen: int = 0
    wrote: set[str] = field(default_factory=set)


def alike(duck: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Open another connection with the database, schema, time zone and variables of this one."""
    made = duck.cursor()
    for name in _LIKE_THE_SESSION:
        (value,) = duck.execute("SELECT current_setting(?)", [name]).fetchone() or ("",)
        made.execute(f"SET {name} = {quote(str(value))}")
    for name, value in duck.execute("SELECT name, value FROM duckdb_variables()").fetchall():
        made.execute(f"SET VARIABLE {name} = {quote(str(value))}")
    return made


class LaterParts:
    """The DuckDB transactions of one Snowflake transaction; the session's own is the first."""

    def __init__(self, commits: Commits, duck: duckdb.DuckDBPyConnection) -> None:
        self._commits = commits
        self.first = Part(duck)
        self.later: list[Part] = []

    def begin(self) -> None:
        """Note how many commits the first one sees at least; it begins with the next statement."""
        self.first.seen, self.first.wrote = self._commits.count, set()

    def choose(self, tables: frozenset[str], adds_to: str = "") -> Part:
        """Choose where a statement over these tables runs. What others have committed to a table that it only `adds_to` does not
        matter. Raises 000002 if its tables were written in several parts."""
        every = [self.first, *self.later]
        holding = [part for part in every if part.wrote & {*tables, adds_to}]
        if len(holding) > 1:
            raise errors.unsupported(
                "a statement over tables that its transaction changed before and after other commits"
            )
        if holding:
            return holding[0]
        for part in (self.first, *self.later[-1:]):
            if not self._commits.changed_since(tables, part.seen):
                return part
        return self._newest()

    def _newest(self) -> Part:
        if not self.later or self.later[-1].wrote:
            self.later.append(Part(alike(self.first.duck)))
        else:
            self.later[-1].duck.execute("ROLLBACK")
        part = self.later[-1]
        part.seen = self._commits.count
        part.duck.execute("BEGIN TRANSACTION")
        return part

    def drop_broken(self) -> bool:
        """Close the later parts that DuckDB has aborted after a failed statement; return whether rows in them are lost."""
        lost = False
        for part in list(self.later):
            try:
                part.duck.execute("SELECT 1")
            except duckdb.TransactionException:
                lost = lost or bool(part.wrote)
                self._close(part, "ROLLBACK")
                self.later.remove(part)
            except duckdb.Error:
                continue
        return lost

    def end(self, verb: str) -> None:
        """COMMIT or ROLLBACK the later ones, after the first."""
        while self.later:
            self._close(self.later.pop(0), verb)

    @staticmethod
    def _close(part: Part, verb: str) -> None:
        try:
            part.duck.execute(verb)
        except duckdb.TransactionException:
            with contextlib.suppress(duckdb.Error):
                part.duck.execute("ROLLBACK")
            if verb == "COMMIT":
                raise
        finally:
            part.duck.close()
