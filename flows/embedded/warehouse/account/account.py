"""The account's registry: its objects, their owners and privileges, kept on disk.

CREATE / ALTER / DROP / GRANT / REVOKE ──Account──▶ _fs_global.account.{objects, grants} (DuckDB file) + the same in memory

Reads come from memory; every change is written to disk, in its own transaction, before memory changes, so that an answered
statement survives kill -9. Access model: https://docs.snowflake.com/en/user-guide/security-access-control-overview.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import duckdb

from flows.embedded.warehouse.account.objects import (
    ACCOUNTADMIN,
    MASKING_POLICY,
    PUBLIC,
    SYSTEM_PRIVILEGES,
    SYSTEM_ROLES,
    AccountObject,
    Grant,
)


class Account:
    """The registry of objects and grants of one embedded account; safe to use from many threads."""

    def __init__(self, duck: duckdb.DuckDBPyConnection) -> None:
        self._duck = duck
        self._lock = threading.RLock()
        self._objects: dict[tuple[str, str], AccountObject] = {}
        self._grants: dict[tuple[object, ...], Grant] = {}
        # Names of masking policies; statements are rewritten only if the account has any.
        self._policies: set[str] = set()
        duck.execute("CREATE SCHEMA IF NOT EXISTS _fs_global.account")
        duck.execute(
            "CREATE TABLE IF NOT EXISTS _fs_global.account.objects (kind VARCHAR, name VARCHAR, owner VARCHAR, "
            "comment VARCHAR, created_on TIMESTAMPTZ, properties VARCHAR)"
        )
        duck.execute(
            "CREATE TABLE IF NOT EXISTS _fs_global.account.grants (privilege VARCHAR, on_kind VARCHAR, on_name VARCHAR, "
            "to_kind VARCHAR, to_name VARCHAR, future BOOLEAN, grant_option BOOLEAN, granted_by VARCHAR, "
            "created_on TIMESTAMPTZ)"
        )
        duck.execute("CREATE TABLE IF NOT EXISTS _fs_global.account.changes (name VARCHAR, changed_on TIMESTAMPTZ)")
        for kind, name, owner, comment, created, properties in duck.execute(
            "SELECT kind, name, owner, comment, epoch_us(created_on), properties FROM _fs_global.account.objects"
        ).fetchall():
            self._objects[kind, name] = AccountObject(
                kind, name, owner, comment, _instant(created), json.loads(properties)
            )
            if kind == MASKING_POLICY:
                self._policies.add(name)
        for privilege, on_kind, on_name, to_kind, to_name, future, option, by, created in duck.execute(
            "SELECT privilege, on_kind, on_name, to_kind, to_name, future, grant_option, granted_by, epoch_us(created_on) "
            "FROM _fs_global.account.grants"
        ).fetchall():
            grant = Grant(privilege, on_kind, on_name, to_kind, to_name, future, option, by, _instant(created))
            self._grants[grant.key] = grant
        for role in SYSTEM_ROLES:
            if ("ROLE", role) not in self._objects:
                self.put(AccountObject("ROLE", role, ""))
        for parent, children in SYSTEM_ROLES.items():
            for child in children:
                self.grant([Grant("USAGE", "ROLE", child, "ROLE", parent)])

    # ---- objects

    def find(self, kind: str, name: str) -> AccountObject | None:
        """Return the object, or None."""
        return self._objects.get((kind, name))

    def owned_by(self, role: str) -> list[AccountObject]:
        """Return the objects that a role owns."""
        with self._lock:
            return [o for o in self._objects.values() if o.owner == role]

    def all(self, kind: str) -> list[AccountObject]:
        """Return every object of a kind, by name."""
        with self._lock:
            return sorted((o for (k, _), o in self._objects.items() if k == kind), key=lambda o: o.name)

    @property
    def masks(self) -> bool:
        """Whether the account has a masking policy."""
        return bool(self._policies)

    def put(self, item: AccountObject) -> None:
        """Create or overwrite one object."""
        with self._lock:
            self._write(
                [
                    ("DELETE FROM _fs_global.account.objects WHERE kind = ? AND name = ?", [item.kind, item.name]),
                    (
                        "INSERT INTO _fs_global.account.objects VALUES (?, ?, ?, ?, make_timestamptz(?), ?)",
                        [item.kind, item.name, item.owner, item.comment, _micros(item.created_on),
                         json.dumps(dict(item.properties), default=str)],
                    ),
                ]
            )  # fmt: skip
            self._objects[item.kind, item.name] = item
            if item.kind == MASKING_POLICY:
                self._policies.add(item.name)

    def create(self, item: AccountObject) -> None:
        """Register a new object, grant its owner OWNERSHIP, and apply the future grants for it.

        Future grants of a schema replace those of its database for the same kind
        (https://docs.snowflake.com/en/sql-reference/sql/grant-privilege#considerations).
        """
        with self._lock:
            granted: list[Grant] = []
            for scope in (item.name.rpartition(".")[0], item.name.split(".")[0]):
                futures = [
                    g for g in self._grants.values() if g.future and g.on_kind == item.kind and g.on_name == scope
                ]
                granted += [
                    replace(g, on_name=item.name, future=False, created_on=item.created_on)
                    for g in futures
                    if g.privilege != "OWNERSHIP"
                ]
                owners = [g.to_name for g in futures if g.privilege == "OWNERSHIP"]
                item = replace(item, owner=owners[-1]) if owners else item
                if futures:
                    break
            self.put(item)
            self.grant(
                [Grant("OWNERSHIP", item.kind, item.name, "ROLE", item.owner, False, True, item.owner), *granted]
            )

    def drop(self, kind: str, name: str) -> None:
        """Delete an object, everything inside it (database, schema) and all grants on and to it."""
        with self._lock:
            inside = f"{name}." if kind in ("DATABASE", "SCHEMA") else None
            gone = [
                (k, n) for (k, n) in self._objects
                if (k, n) == (kind, name) or (inside and n.startswith(inside) and k not in GLOBAL_KINDS)
            ]  # fmt: skip
            self.revoke(
                g for g in list(self._grants.values())
                if (g.on_kind, g.on_name) in gone or (g.on_kind, g.on_name) == (kind, name)
                or (g.to_kind, g.to_name) == (kind, name)
                or (g.future and inside and (g.on_name == name or g.on_name.startswith(inside)))
            )  # fmt: skip
            forget = "DELETE FROM _fs_global.account.objects WHERE kind = ? AND name = ?"
            steps: list[tuple[str, Sequence[object]]] = [(forget, [*key]) for key in gone]
            self._write(steps)
            for key in gone:
                del self._objects[key]
                self._policies.discard(key[1] if key[0] == MASKING_POLICY else "")

    def rename(self, kind: str, old: str, new: str) -> None:
        """Move an object, what is inside it and their grants to a new name."""
        with self._lock:
            moved = [
                o for (k, n), o in list(self._objects.items())
                if (k, n) == (kind, old) or (kind in ("DATABASE", "SCHEMA") and n.startswith(f"{old}.") and k not in GLOBAL_KINDS)
            ]  # fmt: skip
            for item in moved:
                target = new + item.name[len(old) :]
                grants = [g for g in self._grants.values() if (g.on_kind, g.on_name) == (item.kind, item.name)]
                to = [g for g in self._grants.values() if (g.to_kind, g.to_name) == (item.kind, item.name)]
                self.revoke([*grants, *to])
                self._write(
                    [("DELETE FROM _fs_global.account.objects WHERE kind = ? AND name = ?", [item.kind, item.name])]
                )
                del self._objects[item.kind, item.name]
                self._policies.discard(item.name if item.kind == MASKING_POLICY else "")
                self.put(replace(item, name=target))
                self.grant([replace(g, on_name=target) for g in grants] + [replace(g, to_name=target) for g in to])

    def owner(self, kind: str, name: str) -> str:
        """Return the role that owns an object; ACCOUNTADMIN if no owner is recorded."""
        item = self.find(kind, name)
        return item.owner if item and item.owner else ACCOUNTADMIN

    def changed(self, names: Iterable[str]) -> None:
        """Record that rows of these tables have changed now (INFORMATION_SCHEMA.TABLES.LAST_ALTERED)."""
        with self._lock:
            self._write(
                [
                    step
                    for name in names
                    for step in (
                        ("DELETE FROM _fs_global.account.changes WHERE name = ?", [name]),
                        ("INSERT INTO _fs_global.account.changes VALUES (?, now())", [name]),
                    )
                ]
            )

    # ---- grants

    def grants(self) -> list[Grant]:
        """Return all grants, oldest first."""
        with self._lock:
            return sorted(self._grants.values(), key=lambda g: (g.created_on, g.on_kind, g.on_name, g.privilege))

    def grant(self, grants: Iterable[Grant]) -> None:
        """Add grants; those that exist already stay as they are (a grant option is added)."""
        with self._lock:
            fresh = [
                g for g in grants
                if g.key not in self._grants or (g.grant_option and not self._grants[g.key].grant_option)
            ]  # fmt: skip
            self._write(
                [
                    (
                        "INSERT INTO _fs_global.account.grants VALUES (?, ?, ?, ?, ?, ?, ?, ?, make_timestamptz(?))",
                        [*g.key, g.grant_option, g.granted_by, _micros(g.created_on)],
                    )
                    for g in fresh
                ],
                before=[(_DELETE_GRANT, list(g.key)) for g in fresh],
            )
            for g in fresh:
                self._grants[g.key] = g

    def revoke(self, grants: Iterable[Grant]) -> None:
        """Delete grants; those that do not exist are ignored."""
        with self._lock:
            gone = [g for g in grants if g.key in self._grants]
            self._write([(_DELETE_GRANT, list(g.key)) for g in gone])
            for g in gone:
                self._grants.pop(g.key, None)

    def own(self, item: AccountObject, role: str, keep: bool) -> None:
        """Give an object to `role`; its other grants stay or are revoked."""
        with self._lock:
            mine = [g for g in self._grants.values() if (g.on_kind, g.on_name) == (item.kind, item.name)]
            self.revoke(g for g in mine if g.privilege == "OWNERSHIP" or not keep)
            self.put(replace(item, owner=role))
            self.grant([Grant("OWNERSHIP", item.kind, item.name, "ROLE", role, False, True, role)])

    def roles_of(self, role: str) -> frozenset[str]:
        """Return the role, every role granted to it, down the hierarchy, and PUBLIC."""
        with self._lock:
            held, edges = (
                {role, PUBLIC},
                [g for g in self._grants.values() if g.on_kind == "ROLE" and g.to_kind == "ROLE"],
            )
            while True:
                more = {g.on_name for g in edges if g.to_name in held and g.privilege == "USAGE"} - held
                if not more:
                    return frozenset(held)
                held |= more

    def roles_of_user(self, user: str) -> frozenset[str]:
        """Return the roles a registered user may take on: those granted to it, all that these hold, and PUBLIC."""
        with self._lock:
            direct = {
                g.on_name for g in self._grants.values() if (g.to_kind, g.to_name, g.on_kind) == ("USER", user, "ROLE")
            }
        return frozenset({PUBLIC}).union(*(self.roles_of(r) for r in direct))

    def holds(self, held: frozenset[str], privilege: str, kind: str, name: str) -> bool:
        """Whether one of the roles has a privilege (or owns the object); the caller checks the containers.

        ACCOUNTADMIN holds everything: what it lacks on Snowflake it can grant itself.
        """
        if ACCOUNTADMIN in held:
            return True
        if kind == "ACCOUNT":
            if any(privilege in SYSTEM_PRIVILEGES.get(r, ()) for r in held):
                return True
        elif self.owner(kind, name) in held:
            return True
        either = (privilege, "OWNERSHIP")
        with self._lock:
            return any(
                g.to_kind == "ROLE" and g.to_name in held and g.on_kind == kind and g.on_name == name
                and g.privilege in either and not g.future
                for g in self._grants.values()
            )  # fmt: skip

    def holds_any(self, held: frozenset[str], kind: str, name: str) -> bool:
        """Whether the roles may know that the object exists: one of them owns it or has any privilege on it."""
        if ACCOUNTADMIN in held or self.owner(kind, name) in held:
            return True
        with self._lock:
            return any(
                g.to_kind == "ROLE" and g.to_name in held and g.on_kind == kind and g.on_name == name and not g.future
                for g in self._grants.values()
            )

    # ---- disk

    def _write(
        self, statements: Iterable[tuple[str, Sequence[object]]], before: Iterable[tuple[str, Sequence[object]]] = ()
    ) -> None:
        steps = [*before, *statements]
        if not steps:
            return
        self._duck.execute("BEGIN")
        try:
            for sql, parameters in steps:
                self._duck.execute(sql, list(parameters))
            self._duck.execute("COMMIT")
        except BaseException:
            self._duck.execute("ROLLBACK")
            raise


_DELETE_GRANT = (
    "DELETE FROM _fs_global.account.grants WHERE privilege = ? AND on_kind = ? AND on_name = ? AND to_kind = ? "
    "AND to_name = ? AND future = ?"
)


# Objects whose names have no database in front: a database of the same name does not contain them.
GLOBAL_KINDS = frozenset({"WAREHOUSE", "ROLE", "USER", "INTEGRATION", "RESOURCE MONITOR", "DATABASE"})


def objects_inside(account: Account, name: str, kind: str) -> Iterator[AccountObject]:
    """Return the objects of a kind in a database or schema."""
    return (o for o in account.all(kind) if o.name.startswith(f"{name}."))


def _instant(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
