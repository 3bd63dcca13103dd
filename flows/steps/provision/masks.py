"""Compares masking policies and the other special statements of `sql/provision/09_masking.sql` with the account.

key, function, masking policies, tag ──SHOW, DESC, POLICY_REFERENCES──▶ what differs

Policies that are attached cannot be replaced: a body that differs is set by ALTER
(https://docs.snowflake.com/en/sql-reference/sql/create-masking-policy#usage-notes).
"""

from __future__ import annotations

import re

from flows.contract.sql import ident, literal
from flows.settings import Settings
from flows.steps.provision.account import AccountReader
from flows.steps.provision.plan import ADMINISTRATOR, Item

_POLICY_SQL = """\
CREATE MASKING POLICY IF NOT EXISTS {database}.PRIVACY.MASK_{type} AS (VAL {type}) RETURNS {type} ->
    CASE
        WHEN IS_ROLE_IN_SESSION({privacy}) THEN VAL
        WHEN CURRENT_ROLE() IN ({loader}, {transformer}) THEN VAL
        WHEN SYSTEM$GET_TAG_ON_CURRENT_COLUMN('{database}.RAW.PII') = 'indirect' THEN {indirect}
        ELSE {direct}
    END"""


def policies(settings: Settings) -> list[tuple[str, str]]:
    """Return the statements that create the masking policies, set them on the tag, and let dbt set the tag, each with its role.

    There is one policy for each type that a tagged column may have, so that no type stays unmasked. A direct value (it names a
    person) becomes NULL, or for a text its keyed hash, nested twice as in HMAC; equal values have equal hashes, so that rows
    still join. Of an indirect value (it points at a person), a text keeps the first half, at most three characters, and a time
    its year; other types become NULL.
    """
    database = ident(settings.database)
    key = f"{database}.PRIVACY.MASK_KEY()"
    hashed = f"SHA2(CONCAT({key}, SHA2(CONCAT({key}, VAL), 256)), 256)"
    kinds = [("VARCHAR", hashed, "LEFT(VAL, LEAST(3, FLOOR(LENGTH(VAL) / 2)))")]
    kinds += [
        (t, "NULL", "DATE_TRUNC('YEAR', VAL)") for t in ("DATE", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ")
    ]
    kinds += [(t, "NULL", "NULL") for t in ("NUMBER", "FLOAT", "BOOLEAN", "TIME", "BINARY", "VARIANT")]
    roles = {
        "privacy": literal(settings.privacy_role),
        "loader": literal(settings.loader_role),
        "transformer": literal(settings.transformer_role),
    }
    statements = []
    for kind, direct, indirect in kinds:
        sql = _POLICY_SQL.format(database=database, type=kind, direct=direct, indirect=indirect, **roles)
        statements.append((ADMINISTRATOR, sql))
        statements.append(
            (ADMINISTRATOR, f"ALTER TAG {database}.RAW.PII SET MASKING POLICY {database}.PRIVACY.MASK_{kind}")
        )
    # dbt sets the tag in the statement that makes a table
    grant = f"GRANT APPLY ON TAG {database}.RAW.PII TO ROLE {ident(settings.transformer_role)}"
    return [*statements, ("SECURITYADMIN", grant)]


_FUNCTION = re.compile(r"CREATE FUNCTION IF NOT EXISTS (?P<name>[\w.$]+)\(\)")
_POLICY = re.compile(
    r"CREATE MASKING POLICY IF NOT EXISTS (?P<name>[\w.$]+) AS\s+\(.*?\) RETURNS \w+ ->(?P<body>.*)", re.S
)
_ON_TAG = re.compile(r"ALTER TAG (?P<tag>[\w.$]+)\s+SET MASKING POLICY (?P<name>[\w.$]+)")
_KEY = re.compile(r"MERGE INTO (?P<table>[\w.$]+\.MASKING_KEY) ")


def item(account: AccountReader, role: str, sql: str, bare: str) -> Item | None:
    """Compare the object of a statement about masking with the account; None for any other statement."""
    if match := _FUNCTION.match(bare):
        return _function(account, role, sql, match["name"])
    if match := _POLICY.match(bare):
        return _policy(account, role, sql, match["name"], match["body"])
    if match := _ON_TAG.match(bare):
        return _on_tag(account, role, sql, match["tag"], match["name"])
    if match := _KEY.match(bare):
        return _key(account, role, sql, match["table"])
    return None


def _missing(role: str, kind: str, name: str, sql: str) -> Item:
    return Item(role, kind, name, "created", "does not exist", (sql,))


def _key(account: AccountReader, role: str, sql: str, table: str) -> Item:
    name = f"{table} of the hash"
    if table not in account.of_kind("TABLE", table.rpartition(".")[0]):
        return _missing(role, "masking key", name, sql)
    rows = account.seen(f"SELECT COUNT(*) AS N FROM {table}")
    if rows is None:
        return Item(role, "masking key", name, "hidden", f"SELECT on {table} is refused")
    return (
        Item(role, "masking key", name, "unchanged") if int(rows[0]["n"]) else _missing(role, "masking key", name, sql)
    )


def _function(account: AccountReader, role: str, sql: str, name: str) -> Item:
    schema, _, short = name.rpartition(".")
    exists = account.find("SCHEMA", schema) is not None
    rows = account.seen(f"SHOW USER FUNCTIONS LIKE {literal(short)} IN SCHEMA {schema}") if exists else []
    if rows is None:
        return Item(role, "function", name, "hidden", "SHOW USER FUNCTIONS is refused")
    return Item(role, "function", name, "unchanged") if rows else _missing(role, "function", name, sql)


def _policy(account: AccountReader, role: str, sql: str, name: str, body: str) -> Item:
    if account.find("MASKING POLICY", name) is None:
        return _missing(role, "masking policy", name, sql)
    rows = account.seen(f"DESC MASKING POLICY {name}")
    if not rows:
        return Item(role, "masking policy", name, "hidden", "its body")
    if str(rows[0]["body"]).split() == body.split():
        return Item(role, "masking policy", name, "unchanged")
    alter = f"ALTER MASKING POLICY {name} SET BODY ->{body.rstrip()}"
    return Item(role, "masking policy", name, "changed", "its body differs", (alter,))


def _on_tag(account: AccountReader, role: str, sql: str, tag: str, policy: str) -> Item:
    name = f"{policy} → {tag}"
    if account.find("TAG", tag) is None or account.find("MASKING POLICY", policy) is None:
        return _missing(role, "masking policy of a tag", name, sql)
    database = tag.partition(".")[0]
    rows = account.seen(
        f"SELECT * FROM TABLE({database}.INFORMATION_SCHEMA.POLICY_REFERENCES("
        f"REF_ENTITY_NAME => {literal(tag)}, REF_ENTITY_DOMAIN => 'TAG'))"
    )
    if rows is None:
        return Item(role, "masking policy of a tag", name, "hidden", "POLICY_REFERENCES is refused")
    current = {f"{r['policy_db']}.{r['policy_schema']}.{r['policy_name']}" for r in rows}
    return Item(role, "masking policy of a tag", name, "unchanged") if policy in current else _missing(
        role, "masking policy of a tag", name, sql
    )  # fmt: skip
