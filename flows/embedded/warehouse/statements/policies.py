"""Masking policies: CREATE, ALTER, DROP, SHOW, DESC, and setting them on columns and tags.

CREATE MASKING POLICY … ──▶ the account; ALTER TABLE … MODIFY COLUMN … SET MASKING POLICY, ALTER TAG … ──▶ what
`translate.masking` puts in a column's place at each read

https://docs.snowflake.com/en/sql-reference/sql/create-masking-policy, …/alter-masking-policy, …/drop-masking-policy,
…/show-masking-policies, …/desc-masking-policy, …/alter-table-column, …/alter-tag.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any

from flows.embedded.warehouse.account.objects import MASKING_POLICY, AccountObject
from flows.embedded.warehouse.session import policies
from flows.embedded.warehouse.session.result import TIMESTAMP_LTZ, Result, status, table
from flows.embedded.warehouse.session.visibility import may_show
from flows.embedded.warehouse.statements.show_filter import in_scope, show_filter
from flows.embedded.warehouse.text import errors, policy_errors
from flows.embedded.warehouse.text.grammar import Words, accept_create_prefix
from flows.embedded.warehouse.translate import masking

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def create(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] MASKING POLICY [IF NOT EXISTS] <name> AS (<arg> <type>, …) RETURNS <type> -> <body> [COMMENT = '…']."""
    replaces = accept_create_prefix(words)
    words.expect("MASKING", "POLICY")
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    database, schema, short = conn.qualify(parts, "CREATE MASKING POLICY")
    name = f"{database}.{schema}.{short}"
    words.expect("AS")
    signature = _signature(words)
    words.expect("RETURNS")
    returns = _type(words)
    body, comment, exempt = _body(words)
    before = may_create(conn, MASKING_POLICY, (database, schema, short), replaces or if_absent)
    if before and if_absent:
        return status(f"{short} already exists, statement succeeded.")
    if returns != signature[0][2]:
        raise policy_errors.policy_signature()
    masking.check_body(conn, body, tuple(argument for argument, _, _ in signature), f"{database}.{schema}")
    if before:
        conn.require("OWNERSHIP", MASKING_POLICY, name)
        if policies.is_used(conn, name):
            raise policy_errors.policy_in_use(short)
        conn.account.drop(MASKING_POLICY, name)
    properties = {"signature": signature, "returns": returns, "body": body, "exempt": exempt}
    conn.account.create(AccountObject(MASKING_POLICY, name, conn.role, comment, properties=properties))
    return status(f"Masking policy {short} successfully created.")


def may_create(
    conn: WarehouseConnection, kind: str, name: tuple[str, str, str], may_exist: bool
) -> AccountObject | None:
    """Check that the role may create an object, and return the one that exists already. Raises if the schema is missing, if the
    role may not create in it, and if the object exists unless it `may_exist`."""
    database, schema, short = name
    if conn.account.find("DATABASE", database) is None or not conn.has_schema(database, schema):
        raise errors.not_found("SCHEMA", f"{database}.{schema}")
    conn.require_use_of(database, schema)
    conn.require(f"CREATE {kind}", "SCHEMA", f"{database}.{schema}")
    before = conn.account.find(kind, ".".join(name))
    if before and not may_exist:
        raise errors.already_exists(short)
    return before


def _signature(words: Words) -> list[list[str]]:
    """Parse `(val VARCHAR, by NUMBER)` into [name, type as errors name it, type as it is shown], …"""
    words.expect("(")
    arguments: list[list[str]] = []
    while True:
        argument = words.part()
        shown = _type(words)
        arguments.append([argument, masking.type_name(shown), shown])
        if not words.accept(","):
            break
    words.expect(")")
    return arguments


def _type(words: Words) -> str:
    """Parse a type; return its name as DESC shows it, without its length."""
    text = words.part()
    if words.accept("PRECISION"):
        text = "FLOAT"
    if words.accept("("):
        while not words.accept(")"):
            words.take()
    return masking.shown_type(text)


def _body(words: Words) -> tuple[str, str, bool]:
    """Parse what follows `->`: the body's text, COMMENT and EXEMPT_OTHER_POLICIES."""
    words.expect("-", ">")
    first = words.peek()
    if first is None:
        raise words.unexpected()
    end, comment, exempt = first.start, "", False
    depth = 0
    while not words.at_end:
        if not depth and words.sees("COMMENT", "="):
            words.expect("COMMENT", "=")
            comment = words.string()
        elif not depth and words.sees("EXEMPT_OTHER_POLICIES", "="):
            words.expect("EXEMPT_OTHER_POLICIES", "=")
            exempt = bool(words.value())
        else:
            token = words.take()
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            end = token.end
    return words.sql[first.start : end], comment, exempt


def alter(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER MASKING POLICY [IF EXISTS] <name> {SET BODY -> … | SET COMMENT = … | UNSET COMMENT | RENAME TO …}."""
    words.expect("ALTER", "MASKING", "POLICY")
    if_exists = words.accept("IF", "EXISTS")
    policy = _find_policy(conn, words, if_exists)
    if policy is None:
        return status()
    conn.require("OWNERSHIP", MASKING_POLICY, policy.name)
    if words.accept("RENAME", "TO"):
        _rename(conn, policy, ".".join(conn.qualify(words.name())))
        words.finish()
        return status()
    if words.accept("SET", "BODY"):
        body, _, _ = _body(words)
        p: Mapping[str, Any] = policy.properties
        place = policy.name.rpartition(".")[0]
        masking.check_body(conn, body, tuple(str(argument) for argument, _, _ in p["signature"]), place)
        conn.account.put(replace(policy, properties={**p, "body": body}))
    elif words.accept("SET", "COMMENT", "="):
        conn.account.put(replace(policy, comment=words.string()))
    elif words.accept("UNSET", "COMMENT"):
        conn.account.put(replace(policy, comment=""))
    else:
        raise errors.unsupported(f"ALTER MASKING POLICY … {words.upper()} {words.upper(1)}")
    words.finish()
    return status()


def _rename(conn: WarehouseConnection, policy: AccountObject, name: str) -> None:
    if conn.account.find(MASKING_POLICY, name):
        raise errors.already_exists(name.rpartition(".")[2])
    for item, column, using in list(policies.attached_to_columns(conn, policy.name)):
        again = conn.account.find(item.kind, item.name) or item
        applied: Mapping[str, Any] = again.properties["policies"]  # type: ignore[assignment]
        _put(conn, again, "policies", {**applied, column: {"policy": name, "using": list(using)}})
    for tag in conn.account.all("TAG"):
        of_tag: Any = tag.properties.get("policies") or []
        if policy.name in of_tag:
            _put(conn, tag, "policies", [name if one == policy.name else one for one in of_tag])
    conn.account.rename(MASKING_POLICY, policy.name, name)


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP MASKING POLICY [IF EXISTS] <name>; refused if it is set on a column or a tag."""
    words.expect("DROP", "MASKING", "POLICY")
    if_exists = words.accept("IF", "EXISTS")
    policy = _find_policy(conn, words, if_exists)
    words.finish()
    if policy is None:
        return status("Drop statement executed successfully.")
    short = policy.name.rpartition(".")[2]
    conn.require("OWNERSHIP", MASKING_POLICY, policy.name)
    if policies.is_used(conn, policy.name):
        raise policy_errors.policy_in_use(short)
    conn.account.drop(MASKING_POLICY, policy.name)
    return status(f"{short} successfully dropped.")


def _find_policy(conn: WarehouseConnection, words: Words, if_exists: bool = False) -> AccountObject | None:
    parts = words.name()
    name = ".".join(conn.qualify(parts, "MASKING POLICY"))
    policy = conn.account.find(MASKING_POLICY, name)
    if policy is None and not if_exists:
        raise errors.not_found(MASKING_POLICY, ".".join(parts))
    return policy


def _put(conn: WarehouseConnection, item: AccountObject, what: str, value: object) -> None:
    conn.account.put(replace(item, properties={**item.properties, what: value}))


# ---- SHOW, DESC

_COLUMNS: list[str | tuple[str, str]] = [
    ("created_on", TIMESTAMP_LTZ), "name", "database_name", "schema_name", "kind", "owner", "comment", "owner_role_type",
    "options",
]  # fmt: skip


def show(conn: WarehouseConnection, words: Words) -> Result:
    """SHOW MASKING POLICIES [LIKE …] [IN …] [LIMIT …]."""
    words.expect("SHOW", "MASKING", "POLICIES")
    where = show_filter(words)
    rows: list[dict[str, object]] = []
    for item in conn.account.all(MASKING_POLICY):
        database, schema, name = item.name.split(".", 2)
        if not where.admits(name) or not in_scope(conn, where, item.name) or not may_show(conn, item.kind, item.name):
            continue
        options = {"EXEMPT_OTHER_POLICIES": "TRUE"} if item.properties.get("exempt") else None
        rows.append({
            "created_on": item.created_on.astimezone(UTC), "name": name, "database_name": database, "schema_name": schema,
            "kind": "MASKING_POLICY", "owner": item.owner, "comment": item.comment, "owner_role_type": "ROLE",
            "options": json.dumps(options) if options else "",
        })  # fmt: skip
    return table(where.cut(rows), _COLUMNS)


def describe(conn: WarehouseConnection, words: Words) -> Result:
    """DESC MASKING POLICY <name>: for its owner, and for roles that may apply it or any policy."""
    words.accept_any("DESCRIBE", "DESC")
    words.expect("MASKING", "POLICY")
    policy = _find_policy(conn, words)
    words.finish()
    assert policy is not None
    if not conn.may_see(MASKING_POLICY, policy.name) and not conn.may("APPLY MASKING POLICY", "ACCOUNT", ""):
        raise errors.not_found(MASKING_POLICY, policy.name)
    p: Mapping[str, Any] = policy.properties
    row = {
        "name": policy.name.rpartition(".")[2],
        "signature": f"({', '.join(f'{argument} {shown}' for argument, _, shown in p['signature'])})",
        "return_type": p["returns"],
        "body": p["body"],
    }
    return table([row], ["name", "signature", "return_type", "body"])


# ---- SET and UNSET


def may_apply(conn: WarehouseConnection, name: str) -> bool:
    """Whether the role may set a policy: APPLY MASKING POLICY on the account, or APPLY on the policy
    (https://docs.snowflake.com/en/user-guide/security-column-intro#masking-policy-privileges)."""
    return conn.may("APPLY MASKING POLICY", "ACCOUNT", "") or conn.may("APPLY", MASKING_POLICY, name)


def alter_column(conn: WarehouseConnection, words: Words, item: AccountObject, column: str) -> None:
    """SET MASKING POLICY <name> [USING (…)] [FORCE] | UNSET MASKING POLICY, further columns after a comma."""
    while True:
        if words.accept("UNSET", "MASKING", "POLICY"):
            _require_unset(conn, item, column)
            applied: dict[str, Any] = dict(item.properties.get("policies") or {})  # type: ignore[call-overload]
            applied.pop(column, None)
            _put(conn, item, "policies", applied)
        else:
            words.expect("SET", "MASKING", "POLICY")
            name = ".".join(conn.qualify(words.name()))
            using: list[str] = []
            if words.accept("USING", "("):
                using.append(words.part())
                while words.accept(","):
                    using.append(words.part())
                words.expect(")")
            force = words.accept("FORCE")
            conn.account.put(with_policy(conn, item, column, required(conn, name), using, force))
        if not words.accept(","):
            break
        words.accept_any("ALTER", "MODIFY")
        words.accept("COLUMN")
        column = words.part()
        item = conn.account.find(item.kind, item.name) or item
    words.finish()


def required(conn: WarehouseConnection, name: str) -> str:
    """Return the name of a policy. Raises 002003 if it does not exist or the role may not set it."""
    if conn.account.find(MASKING_POLICY, name) is None or not may_apply(conn, name):
        raise errors.not_found(MASKING_POLICY, name)
    return name


def with_policy(
    conn: WarehouseConnection, item: AccountObject, column: str, name: str, using: list[str], force: bool = False
) -> AccountObject:
    """Add a policy to a column of a table, whose type it must have; the first column of USING is the one that is masked."""
    policy = policies.policy(conn, name)
    columns = masking.columns_of(conn, item)
    for one in (column, *using):
        if one not in columns:
            raise errors.invalid_identifier(one)
    if len(policy.arguments) > 1 and (len(using) != len(policy.arguments) or using[0] != column):
        raise errors.syntax(f"USING ({', '.join(using)})")
    if columns[column] != policy.masks:
        raise policy_errors.policy_types(columns[column], policy.masks)
    applied: dict[str, Any] = dict(item.properties.get("policies") or {})  # type: ignore[call-overload]
    if column in applied and applied[column]["policy"] != name and not force:
        raise policy_errors.has_policy()
    applied[column] = {"policy": name, "using": using[1:]}
    return replace(item, properties={**item.properties, "policies": applied})


def _require_unset(conn: WarehouseConnection, item: AccountObject, column: str) -> None:
    applied: Any = item.properties.get("policies") or {}
    if column in applied and not may_apply(conn, applied[column]["policy"]):
        raise errors.insufficient("ALTER TABLE UNSET MASKING POLICY", applied[column]["policy"])


def alter_tag(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER TAG [IF EXISTS] <name> {SET | UNSET} MASKING POLICY <name> [, MASKING POLICY …] [FORCE].

    Needs the right to set each policy (`may_apply`), and OWNERSHIP of the tag or APPLY TAG on the account
    (https://docs.snowflake.com/en/user-guide/tag-based-masking-policies#privileges).
    """
    words.expect("ALTER", "TAG")
    words.accept("IF", "EXISTS")
    tag = ".".join(conn.qualify(words.name()))
    item = conn.account.find("TAG", tag)
    if item is None:
        raise errors.not_found("TAG", tag)
    if not (conn.may("OWNERSHIP", "TAG", tag) or conn.may("APPLY TAG", "ACCOUNT", "")):
        raise errors.insufficient("TAG", tag.rpartition(".")[2])
    gives = words.take().text.upper() == "SET"
    applied: list[str] = list(item.properties.get("policies") or [])  # type: ignore[call-overload]
    named: list[str] = []
    while True:
        words.expect("MASKING", "POLICY")
        named.append(".".join(conn.qualify(words.name())))
        if not words.accept(","):
            break
    force = gives and words.accept("FORCE")
    words.finish()
    for name in named:
        required(conn, name)
        if not gives:
            applied = [one for one in applied if one != name]
            continue
        masks = policies.policy(conn, name).masks
        same = [one for one in applied if one != name and policies.policy(conn, one).masks == masks]
        if same and not force:
            raise policy_errors.tag_has_policy(tag.rpartition(".")[2], masks)
        applied = [one for one in applied if one not in same]
        applied += [name] if name not in applied else []
    _put(conn, item, "policies", applied)
    return status()
