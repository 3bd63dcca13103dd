"""Finds the handler of a statement by its first words.

SQL text ──find_handler──▶ a handler of this package, or None: then the executor parses it (queries, DML, tables, views)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from flows.embedded.warehouse.account.kinds import KINDS, PLURALS
from flows.embedded.warehouse.session.result import Result, status
from flows.embedded.warehouse.statements import (
    grants,
    grants_shown,
    memoizable,
    namespaces,
    namespaces_shown,
    objects,
    objects_described,
    objects_shown,
    policies,
    relations,
    sequences_shown,
    session_statements,
    stage_files,
    stages,
    stages_shown,
)
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import Words

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

Handler = Callable[["WarehouseConnection", Words], Result | None]

_OBJECTS = ("WAREHOUSE", "ROLE", "USER", "STORAGE", "INTEGRATION", "TAG")


def find_handler(words: Words) -> Handler | None:
    """Return the statement's handler; nothing of `words` is consumed. If the handler answers None, the executor parses it."""
    verb = words.upper()
    if verb == "USE":
        return namespaces.use
    if verb in ("GRANT", "REVOKE"):
        return grants.grant if verb == "GRANT" else grants.revoke
    if verb in ("LIST", "LS"):
        return stage_files.list_stage
    if verb in ("CREATE", "ALTER", "DROP", "DESC", "DESCRIBE"):
        return _ddl(verb, words)
    if verb == "SHOW":
        return _show(words)
    if verb == "COMMENT":
        return _comment(words)
    return None


def _ddl(verb: str, words: Words) -> Handler | None:
    at = 1
    if verb == "CREATE" and words.upper(1) == "OR":
        at = 3
    while words.upper(at) in ("TRANSIENT", "TEMPORARY", "TEMP", "VOLATILE"):
        at += 1
    kind, following = words.upper(at), words.upper(at + 1)
    if (kind, following) == ("MASKING", "POLICY"):
        return {"CREATE": policies.create, "ALTER": policies.alter, "DROP": policies.drop}.get(verb, policies.describe)
    if "FUNCTION" in (kind, following if kind == "SECURE" else "") and verb in ("CREATE", "DROP"):
        return memoizable.create if verb == "CREATE" else memoizable.drop
    if kind == "TAG" and verb == "ALTER" and _changes_policies(words):
        return policies.alter_tag
    if verb in ("DESC", "DESCRIBE"):
        verb = "DESC"
    if kind == "SESSION" and verb == "ALTER":
        return session_statements.alter_session
    if kind == "DATABASE" and following != "ROLE":
        return {"CREATE": namespaces.create_database, "ALTER": namespaces.alter_database,
                "DROP": namespaces.drop_database, "DESC": namespaces_shown.describe}[verb]  # fmt: skip
    if kind == "SCHEMA":
        return {"CREATE": namespaces.create_schema, "ALTER": namespaces.alter_schema,
                "DROP": namespaces.drop_schema, "DESC": namespaces_shown.describe}[verb]  # fmt: skip
    if kind == "STAGE" or (kind, following) == ("FILE", "FORMAT"):
        create = stages.create_stage if kind == "STAGE" else stages.create_file_format
        return {"CREATE": create, "ALTER": stages.alter, "DROP": stages.drop, "DESC": stages_shown.describe}[verb]
    if verb == "DESC" and kind in ("TABLE", "VIEW"):
        return relations.describe
    if verb == "ALTER" and kind in ("TABLE", "VIEW"):
        return relations.alter_details
    if kind in _OBJECTS or (kind, following) == ("RESOURCE", "MONITOR"):
        return {
            "CREATE": objects.create,
            "ALTER": objects.alter,
            "DROP": objects.drop,
            "DESC": objects_described.describe,
        }[verb]
    return None


def _changes_policies(words: Words) -> bool:
    """Whether ALTER TAG … has SET | UNSET MASKING POLICY after the tag's name."""
    return any(words.upper(at) in ("SET", "UNSET") and words.upper(at + 1) == "MASKING" for at in range(2, 12))


def _show(words: Words) -> Handler | None:
    at = 2 if words.upper(1) == "TERSE" else 1
    kind, following = words.upper(at), words.upper(at + 1)
    if kind == "GRANTS" or (kind, following) == ("FUTURE", "GRANTS"):
        return grants_shown.show_grants
    if kind == "DATABASES":
        return namespaces_shown.show_databases
    if kind == "SCHEMAS":
        return namespaces_shown.show_schemas
    if kind == "STAGES" or (kind, following) == ("FILE", "FORMATS"):
        return stages_shown.show
    if (kind, following) == ("MASKING", "POLICIES"):
        return policies.show
    if kind in ("TABLES", "VIEWS", "OBJECTS"):
        return relations.show
    if kind == "SEQUENCES":
        return sequences_shown.show
    if kind in ("PRIMARY", "UNIQUE", "IMPORTED", "EXPORTED") and following == "KEYS":
        return relations.show_keys
    if kind == "PARAMETERS":
        return session_statements.show_parameters
    if kind == "USER" and following in ("FUNCTIONS", "PROCEDURES"):
        return memoizable.show
    if kind in PLURALS or f"{kind} {following}" in PLURALS or (kind, following) == ("STORAGE", "INTEGRATIONS"):
        return objects_shown.show
    return None


def _comment(words: Words) -> Handler | None:
    at = 1
    if words.upper(1) == "IF":
        at = 3
    kind = words.upper(at + 1)
    if kind in ("TABLE", "VIEW", "COLUMN"):
        return None
    return comment_on


def comment_on(conn: WarehouseConnection, words: Words) -> Result:
    """COMMENT [IF EXISTS] ON <kind> <name> IS '…' for all but tables, views and columns
    (https://docs.snowflake.com/en/sql-reference/sql/comment)."""
    words.expect("COMMENT")
    if_exists = words.accept("IF", "EXISTS")
    words.expect("ON")
    kind = words.accept_any("DATABASE", "SCHEMA", "STAGE", "FILE FORMAT", *KINDS)
    if not kind:
        raise errors.unsupported(f"COMMENT ON {words.upper()}")
    name = conn.full_name(kind, words.name(), "COMMENT")
    words.expect("IS")
    text = words.string()
    words.finish()
    item = conn.account.find(kind, name)
    if item is None:
        if if_exists:
            return status()
        raise errors.not_found(kind, name)
    conn.require("OWNERSHIP", kind, name)
    conn.account.put(replace(item, comment=text))
    return status()
