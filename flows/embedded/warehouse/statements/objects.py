"""Account objects without rows: warehouses, roles, users, integrations, resource monitors, tags.

CREATE | ALTER | DROP <kind> ──spec of the kind (`kinds`)──▶ Account; SHOW is in `objects_shown`, DESCRIBE in `objects_described`
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.kinds import Kind, accept_kind, check_together, checked
from flows.embedded.warehouse.account.objects import SYSTEM_ROLES, AccountObject
from flows.embedded.warehouse.account.parameters import SESSION_DEFAULTS
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words, accept_create_prefix

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def _options(kind: Kind, words: Words) -> dict[str, object]:
    """Parse the options of CREATE or SET, with the two clauses that are not KEY = value."""
    if kind.name == "RESOURCE MONITOR":
        return _monitor_options(words)
    if kind.name == "TAG" and words.accept("ALLOWED_VALUES"):
        allowed = [words.string()]
        while words.accept(","):
            allowed.append(words.string())
        return {"ALLOWED_VALUES": allowed, **words.options()}
    return words.options()


def _monitor_options(words: Words) -> dict[str, object]:
    """Parse CREDIT_QUOTA = … TRIGGERS ON 90 PERCENT DO SUSPEND …
    (https://docs.snowflake.com/en/sql-reference/sql/create-resource-monitor)."""
    options: dict[str, object] = {}
    words.accept("WITH")
    while not words.at_end:
        if words.accept("TRIGGERS"):
            triggers = []
            while words.accept("ON"):
                percent = words.value()
                words.expect("PERCENT", "DO")
                action = words.accept_any("SUSPEND_IMMEDIATE", "SUSPEND", "NOTIFY")
                if not action:
                    raise words.unexpected()
                triggers.append([percent, action])
            options["TRIGGERS"] = triggers
            continue
        key = words.part()
        words.expect("=")
        options[key] = words.value()
    if "FREQUENCY" in options and "START_TIMESTAMP" not in options:
        # "If you set a frequency for a resource monitor, you must also set START_TIMESTAMP."
        raise errors.invalid_value(options["FREQUENCY"], "FREQUENCY (without START_TIMESTAMP)")
    return options


def create(conn: WarehouseConnection, words: Words) -> Result:
    """CREATE [OR REPLACE] <kind> [IF NOT EXISTS] <name> <options>."""
    replaces = accept_create_prefix(words)
    kind = accept_kind(words)
    assert kind is not None
    if_absent = words.accept("IF", "NOT", "EXISTS")
    parts = words.name()
    if not kind.in_schema and len(parts) != 1:
        raise errors.syntax(".".join(parts))
    name = conn.full_name(kind.name, parts, f"CREATE {kind.name}")
    options = _options(kind, words)
    words.finish()
    before = conn.account.find(kind.name, name)
    if before and if_absent:
        if not conn.may_see(kind.name, name):
            raise errors.insufficient(kind.name, parts[-1])
        return status(f"{parts[-1]} already exists, statement succeeded.")
    if before and not replaces:
        raise errors.already_exists(parts[-1])
    allowed, triggers = options.pop("ALLOWED_VALUES", None), options.pop("TRIGGERS", None)
    properties, comment = checked(kind, options)
    if allowed is not None:
        properties["ALLOWED_VALUES"] = allowed
    if triggers is not None:
        properties["TRIGGERS"] = triggers
    if missing := [r for r in kind.required if r not in properties]:
        raise errors.syntax(f"<EOF> (missing {', '.join(missing)})", len(words.sql))
    if kind.in_schema:
        database, schema, _ = conn.qualify(parts)
        conn.require_use_of(database, schema)
        conn.require(kind.privilege, "SCHEMA", f"{database}.{schema}")
    else:
        conn.require(kind.privilege, "ACCOUNT", "")
    if before:
        if before.name in SYSTEM_ROLES and kind.name == "ROLE":
            raise errors.insufficient(kind.name, name)
        conn.require("OWNERSHIP", kind.name, name)
        conn.account.drop(kind.name, name)
    state = {**kind.defaults, **properties}
    check_together(kind, state)
    if kind.name == "WAREHOUSE":
        state["STATE"] = "SUSPENDED" if state.pop("INITIALLY_SUSPENDED", False) else "STARTED"
    elif kind.name == "INTEGRATION":
        # Made once per integration, as Snowflake does: the bucket's trust policy names them.
        state["STORAGE_AWS_IAM_USER_ARN"] = "arn:aws:iam::000000000000:user/embedded"
        state.setdefault("STORAGE_AWS_EXTERNAL_ID", f"CXM_EMBEDDED_SFCRole=1_{secrets.token_urlsafe(16)}=")
    elif kind.name == "USER":
        state.setdefault("LOGIN_NAME", name)
    conn.account.create(AccountObject(kind.name, name, conn.role, comment or "", properties=state))
    if kind.name == "WAREHOUSE":
        conn.warehouse = name  # the new warehouse is the session's (create-warehouse, usage notes)
    return status((kind.created or f"{errors.title(kind.name)} {{name}} successfully created.").format(name=parts[-1]))


def alter(conn: WarehouseConnection, words: Words) -> Result:
    """ALTER <kind> [IF EXISTS] <name> {SET … | UNSET … | RENAME TO … | SUSPEND | RESUME | …}."""
    words.expect("ALTER")
    kind = accept_kind(words)
    assert kind is not None
    if_exists = words.accept("IF", "EXISTS")
    if kind.name == "WAREHOUSE" and words.upper() in ("SET", "SUSPEND", "RESUME", "ABORT"):
        if conn.warehouse is None:
            raise errors.cannot_perform()
        parts: tuple[str, ...] = (conn.warehouse,)  # without a name it is the session's warehouse
    else:
        parts = words.name()
    name = conn.full_name(kind.name, parts, f"ALTER {kind.name}")
    item = conn.account.find(kind.name, name)
    if item is None:
        if if_exists:
            return status()
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "WAREHOUSE" and (verb := words.accept_any("SUSPEND", "RESUME", "ABORT ALL QUERIES")):
        if_suspended = words.accept("IF", "SUSPENDED")
        words.finish()
        conn.require("OPERATE", kind.name, name)
        if verb != "ABORT ALL QUERIES":
            state = "SUSPENDED" if verb == "SUSPEND" else "STARTED"
            if item.properties.get("STATE") == state and not if_suspended:
                raise errors.cannot_suspend(name) if verb == "SUSPEND" else errors.cannot_resume(name)
            conn.account.put(replace(item, properties={**item.properties, "STATE": state}))
        return status()
    if kind.name == "WAREHOUSE":
        conn.require("MODIFY", kind.name, name)
    else:
        conn.require("OWNERSHIP", kind.name, name)
    if words.accept("RENAME", "TO"):
        target = conn.full_name(kind.name, words.name(), f"ALTER {kind.name}")
        words.finish()
        if conn.account.find(kind.name, target):
            raise errors.already_exists(target)
        conn.account.rename(kind.name, name, target)
        return status()
    conn.account.put(changed(kind, item, words))
    return status()


def changed(kind: Kind, item: AccountObject, words: Words) -> AccountObject:
    """Apply SET … or UNSET … to the statement's end; returns the changed object."""
    properties, comment = dict(item.properties), item.comment
    if words.accept("SET", "TAG"):
        tags = dict(properties.get("TAG") or {})  # type: ignore[call-overload]
        while True:
            key = ".".join(words.name())
            words.expect("=")
            tags[key] = words.string()
            if not words.accept(","):
                break
        properties["TAG"] = tags
    elif words.accept("UNSET", "TAG"):
        tags = dict(properties.get("TAG") or {})  # type: ignore[call-overload]
        tags.pop(".".join(words.name()), None)
        properties["TAG"] = tags
    elif words.accept("UNSET"):
        while not words.at_end:
            key = words.part()
            if key == "COMMENT":
                comment = ""
            elif key not in kind.properties and key not in SESSION_DEFAULTS:
                raise errors.invalid_property(key, kind.name)
            elif key in kind.defaults:
                properties[key] = kind.defaults[key]
            else:
                properties.pop(key, None)
            words.accept(",")
    else:
        words.expect("SET")
        fresh, said = checked(kind, _options(kind, words))
        properties.update(fresh)
        check_together(kind, properties)
        comment = comment if said is None else said
    words.finish()
    return replace(item, properties=properties, comment=comment)


def drop(conn: WarehouseConnection, words: Words) -> Result:
    """DROP <kind> [IF EXISTS] <name>."""
    words.expect("DROP")
    kind = accept_kind(words)
    assert kind is not None
    if_exists = words.accept("IF", "EXISTS")
    parts = words.name()
    words.finish()
    name = conn.full_name(kind.name, parts, f"DROP {kind.name}")
    if conn.account.find(kind.name, name) is None:
        if if_exists:
            return status("Drop statement executed successfully ("
                          f"{parts[-1]} already dropped).")  # fmt: skip
        raise errors.not_found(kind.name, parts[-1])
    if kind.name == "ROLE" and name in SYSTEM_ROLES:
        raise errors.insufficient(kind.name, name)
    conn.require("OWNERSHIP", kind.name, name)
    if kind.name == "ROLE":  # https://docs.snowflake.com/en/sql-reference/sql/drop-role#usage-notes
        for item in conn.account.owned_by(name):
            conn.account.own(item, conn.role, keep=True)
    conn.account.drop(kind.name, name)
    if kind.name == "WAREHOUSE" and conn.warehouse == name:
        conn.warehouse = None
    return status(f"{parts[-1]} successfully dropped.")
