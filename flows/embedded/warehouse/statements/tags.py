"""SET TAG and UNSET TAG on tables, views, their columns, schemas and databases.

ALTER … SET TAG <tag> = '<value>' [, …] ──▶ the object's `tags` in the account

https://docs.snowflake.com/en/user-guide/object-tagging/work: a tag must exist and admit the value. Setting one needs
APPLY TAG on the account, or APPLY on the tag and OWNERSHIP of the object (…/object-tagging/introduction#required-privileges).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, split_name

if TYPE_CHECKING:
    from flows.embedded.warehouse.account.objects import AccountObject
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def sees(words: Words) -> bool:
    """Whether SET TAG or UNSET TAG comes next."""
    return words.sees("SET", "TAG") or words.sees("UNSET", "TAG")


def change(conn: WarehouseConnection, words: Words, item: AccountObject | None, key: str = "SELF") -> None:
    """Run SET TAG or UNSET TAG to the statement's end. `key`: `SELF` or `COLUMN <name>`; further columns after a comma."""
    made: dict[str, dict[str, str | None]] = {}
    give = words.take().text.upper() == "SET"
    words.expect("TAG")
    while True:
        tag = ".".join(conn.qualify(words.name()))
        value: str | None = None
        if give:
            words.expect("=")
            value = words.string()
        check(conn, tag, value)
        made.setdefault(key, {})[tag] = value
        if not words.accept(","):
            break
        if key != "SELF" and (words.accept_any("MODIFY COLUMN", "ALTER COLUMN", "COLUMN", "MODIFY", "ALTER")):
            key = f"COLUMN {words.part()}"
            give = words.take().text.upper() == "SET"
            words.expect("TAG")
    words.finish()
    if item is not None:
        put(conn, item, made)


def check(conn: WarehouseConnection, tag: str, value: str | None) -> None:
    """Raise 002003 for a tag that does not exist, 003001 if the role may not set it, 001008 for a value it does not admit."""
    known = conn.account.find("TAG", tag)
    if known is None:
        raise errors.not_found("TAG", tag)
    if not (conn.may("APPLY TAG", "ACCOUNT", "") or conn.may("APPLY", "TAG", tag)):
        raise errors.insufficient("TAG", tag.rpartition(".")[2])
    allowed = known.properties.get("ALLOWED_VALUES")
    if value is not None and isinstance(allowed, list) and allowed and value not in allowed:
        raise errors.invalid_value(value, f"TAG {tag}")


def put(conn: WarehouseConnection, item: AccountObject, made: Mapping[str, Mapping[str, str | None]]) -> None:
    """Write tags; a value of None removes one."""
    every: dict[str, Any] = dict(item.properties.get("tags") or {})  # type: ignore[call-overload]
    for key, values in made.items():
        tags = {**(every.get(key) or {}), **values}
        every[key] = {tag: value for tag, value in tags.items() if value is not None}
    conn.account.put(replace(item, properties={**item.properties, "tags": every}))


def taken(conn: WarehouseConnection, properties: dict[str, Any]) -> dict[str, Any]:
    """Check WITH TAG (…) of CREATE SCHEMA, and return the options with the tags as the object keeps them."""
    given: Mapping[str, str] = properties.pop("TAG", None) or {}
    if not given:
        return properties
    named = {".".join(conn.qualify(split_name(name))): value for name, value in given.items()}
    for tag, value in named.items():
        check(conn, tag, value)
    return {**properties, "tags": {"SELF": named}}


def moved(item: AccountObject, old: str, new: str | None) -> AccountObject:
    """Move a renamed column's tags and policies to its new name, delete a dropped column's; returns the table."""
    properties = dict(item.properties)
    for what, before, after in (("tags", f"COLUMN {old}", f"COLUMN {new}"), ("policies", old, new)):
        values: dict[Any, Any] = dict(properties.get(what) or {})  # type: ignore[call-overload]
        if before in values:
            value = values.pop(before)
            if new is not None:
                values[after] = value
            properties[what] = values
    return replace(item, properties=properties)
