"""Masking policies and tags of the account: finds the policy of each column.

a table's or view's column ──its own policy, else its tags and those of its table, schema and database──▶ Attached

https://docs.snowflake.com/en/user-guide/security-column-intro, …/tag-based-masking-policies, …/object-tagging/inheritance.
An object keeps `tags` ({"SELF" | "COLUMN name": {tag: value}})
and `policies` ({column: {"policy": name, "using": columns}}), a tag the `policies` set on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.account.objects import MASKING_POLICY, AccountObject
from flows.embedded.warehouse.text import policy_errors as errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

__all__ = [
    "MASKING_POLICY",
    "Attached",
    "Policy",
    "attached_to_columns",
    "candidates",
    "effective",
    "is_used",
    "policy",
    "tags_of",
]


@dataclass(frozen=True)
class Policy:
    """A masking policy: its arguments with their types as Snowflake's errors name them (TEXT, FIXED), and its body's text."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    body: str

    @property
    def masks(self) -> str:
        """The type of the columns that it masks."""
        return self.arguments[0][1]


@dataclass(frozen=True)
class Attached:
    """A policy that holds for a column: set on it (`tag` empty) or on a tag; `using`: the columns of its further arguments."""

    policy: Policy
    using: tuple[str, ...] = ()
    tag: str = ""


def policy(conn: WarehouseConnection, name: str) -> Policy:
    """Return the policy of that name. Raises 003548 if it does not exist any more."""
    item = conn.account.find(MASKING_POLICY, name)
    if item is None:
        raise errors.lost_policy(name)
    p: Mapping[str, Any] = item.properties
    return Policy(name, tuple((str(n), str(t)) for n, t, _ in p["signature"]), str(p["body"]))


def tags_of(conn: WarehouseConnection, item: AccountObject, column: str = "") -> dict[str, str]:
    """Return tag → value of an object or a column of it; its own values replace inherited ones."""
    places: list[tuple[AccountObject | None, str]] = []
    parts = item.name.split(".")
    if item.kind not in ("DATABASE", "SCHEMA"):
        places = [(conn.account.find("DATABASE", parts[0]), "SELF")]
        places += [(conn.account.find("SCHEMA", ".".join(parts[:2])), "SELF")]
    elif item.kind == "SCHEMA":
        places = [(conn.account.find("DATABASE", parts[0]), "SELF")]
    places.append((item, "SELF"))
    if column:
        places.append((item, f"COLUMN {column}"))
    tags: dict[str, str] = {}
    for place, key in places:
        tags.update(_property(place, "tags").get(key) or {})
    return tags


def candidates(conn: WarehouseConnection, item: AccountObject, column: str, type_: str) -> list[Attached]:
    """Return the policies for a column of this type: the one set on it, else those of its tags."""
    if own := _property(item, "policies").get(column):
        return [Attached(policy(conn, own["policy"]), tuple(own["using"]))]
    attached: list[Attached] = []
    for tag in tags_of(conn, item, column):
        for name in _policies(conn, tag):
            if (one := policy(conn, name)).masks == type_:
                attached.append(Attached(one, tuple(a for a, _ in one.arguments[1:]), tag))
    return attached


def effective(conn: WarehouseConnection, item: AccountObject, column: str, type_: str) -> Attached | None:
    """Return the policy that holds for a column of this type: one set on the column goes before one of a tag.

    Raises 003574 if tags give it several
    (POLICY_STATUS of https://docs.snowflake.com/en/sql-reference/functions/policy_references).
    """
    choices = candidates(conn, item, column, type_)
    if len(choices) > 1:
        raise errors.several_policies(column)
    return choices[0] if choices else None


def attached_to_columns(conn: WarehouseConnection, name: str) -> Iterator[tuple[AccountObject, str, tuple[str, ...]]]:
    """Yield each (table or view, column, further columns) on which a policy is set."""
    for kind in ("TABLE", "VIEW"):
        for item in conn.account.all(kind):
            for column, own in _property(item, "policies").items():
                if own["policy"] == name:
                    yield item, column, tuple(own["using"])


def is_used(conn: WarehouseConnection, name: str) -> bool:
    """Whether a policy is set on a column or a tag."""
    tags = any(name in _policies(conn, tag.name) for tag in conn.account.all("TAG"))
    return tags or next(attached_to_columns(conn, name), None) is not None


def may_mask(conn: WarehouseConnection, item: AccountObject) -> bool:
    """Whether any column of a table or view can have a policy: a quick check, before its columns are read."""
    if _property(item, "policies"):
        return True
    tags = {tag for key in _property(item, "tags") for tag in _property(item, "tags")[key]} | tags_of(conn, item).keys()
    return any(_policies(conn, tag) for tag in tags)


def _policies(conn: WarehouseConnection, tag: str) -> Sequence[str]:
    item = conn.account.find("TAG", tag)
    names: Any = item.properties.get("policies") if item else None
    return names or ()


def _property(item: AccountObject | None, what: str) -> dict[str, Any]:
    value: Any = item.properties.get(what) if item else None
    return value or {}
