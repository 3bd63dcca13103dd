"""Compares a Snowflake account with `sql/provision/NN_*.sql`.

The files have the expected state; SHOW and DESC return the actual one.

Reading sends SHOW, DESC and SELECT only. CREATE … IF NOT EXISTS creates an object, ALTER … SET fixes a property, GRANT adds a
privilege; no statement replaces or drops anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from flows.contract.model import Source
from flows.contract.sql import literal, template
from flows.project import SQL
from flows.settings import Settings
from flows.steps.provision import masks
from flows.steps.provision.account import AccountReader
from flows.steps.provision.plan import Item
from flows.steps.provision.shown import members, same

# Property of CREATE → its column in SHOW. Other properties are not compared: operators may change a warehouse's size.
_SHOWN = {
    "WAREHOUSE": {
        "GENERATION": "generation",
        "ENABLE_QUERY_ACCELERATION": "enable_query_acceleration",
        "AUTO_SUSPEND": "auto_suspend",
        "AUTO_RESUME": "auto_resume",
    },
    "RESOURCE MONITOR": {"CREDIT_QUOTA": "credit_quota", "FREQUENCY": "frequency"},
    "STAGE": {"URL": "url", "STORAGE_INTEGRATION": "storage_integration"},
}
_PARAMETERS = {"WAREHOUSE": ("STATEMENT_TIMEOUT_IN_SECONDS", "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS")}
_DESCRIBED = {
    "STORAGE INTEGRATION": ("ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"),
    # SHOW USERS shows more than the name only to the user's owner, DESC USER also to a role that monitors the user.
    "USER": ("TYPE", "DEFAULT_ROLE", "DEFAULT_WAREHOUSE", "DEFAULT_SECONDARY_ROLES", "COMMENT"),
    "FILE FORMAT": (
        "FIELD_DELIMITER",
        "RECORD_DELIMITER",
        "SKIP_HEADER",
        "NULL_IF",
        "FIELD_OPTIONALLY_ENCLOSED_BY",
        "ESCAPE_UNENCLOSED_FIELD",
        "ESCAPE",
        "ENCODING",
        "SKIP_BYTE_ORDER_MARK",
        "TRIM_SPACE",
        "EMPTY_FIELD_AS_NULL",
        "SKIP_BLANK_LINES",
        "REPLACE_INVALID_CHARACTERS",
        "COMPRESSION",
    ),
}
# Properties set only together with another one and not compared: a monitor's start time passes.
_TOGETHER = {"FREQUENCY": "START_TIMESTAMP"}
# SHOW RESOURCE MONITORS shows no comment, and a monitor takes none.
_COMMENTED = ("WAREHOUSE", "DATABASE", "SCHEMA", "ROLE", "STORAGE INTEGRATION", "FILE FORMAT", "STAGE", "TAG")

_CREATE = re.compile(r"CREATE (?P<kind>[A-Z ]+?) IF NOT EXISTS (?P<name>[\w.$]+)\s*(?P<rest>.*)", re.S)
_OPTION = re.compile(r"(?P<key>[A-Z_0-9]+)\s*=\s*(?P<value>'(?:[^'\\]|\\.|'')*'|\([^)]*\)|[^\s()']+)", re.S)
_GRANT_ROLE = re.compile(r"GRANT ROLE (?P<role>\w+) TO (?P<to>ROLE|USER) (?P<name>\w+)")
_GRANT_VIEWER = re.compile(r"GRANT DATABASE ROLE (?P<viewer>[\w.]+) TO ROLE (?P<role>\w+)")
_GRANT_IN = re.compile(
    r"GRANT (?P<privileges>[A-Z, ]+) ON (?P<scope>ALL|FUTURE) (?P<kind>[A-Z ]+)S IN SCHEMA (?P<schema>[\w.$]+) "
    r"TO ROLE (?P<role>\w+)"
)
_GRANT_ON = re.compile(r"GRANT (?P<privileges>[A-Z, ]+) ON (?P<kind>[A-Z ]+) (?P<name>[\w.$]+) TO ROLE (?P<role>\w+)")
_LEASE = re.compile(r"MERGE INTO (?P<table>[\w.$]+) AS HELD\s+USING \(SELECT '(?P<source>\w+)' AS SOURCE\)")
_MONITOR = re.compile(r"ALTER WAREHOUSE (?P<warehouse>\w+) SET RESOURCE_MONITOR = (?P<monitor>\w+)")


@dataclass(frozen=True, slots=True)
class PlanStatement:
    """One statement of `sql/provision/` and the role that runs it; `bare` is without its comment lines."""

    role: str
    sql: str

    @property
    def bare(self) -> str:
        return "\n".join(line for line in self.sql.splitlines() if not line.lstrip().startswith("--")).strip()


def statements(settings: Settings, sources: Sequence[Source], storage_role_arn: str) -> list[PlanStatement]:
    """Return every statement of `sql/provision/` in order, with names filled in; with CXM_MASKING those of `masks` too."""
    from snowflake.connector.util_text import split_statements

    values = {
        "warehouse": settings.warehouse,
        "monitor": f"{settings.warehouse}_QUOTA",
        "credit_quota": settings.credit_quota,
        "database": settings.database,
        "loader": settings.loader_role,
        "transformer": settings.transformer_role,
        "reporter": settings.reporter_role,
        "pipeline_user": pipeline_user(settings),
        "reporter_user": reporter_user(settings),
        "integration": settings.storage_integration,
        "storage_role_arn": storage_role_arn,
        "bucket": settings.bucket,
        "file_formats": {n: d for source in sources for n, d in source.file_formats.items()},
        "pii_tags": settings.pii_tags,
        "reads_query_costs": settings.reads_query_costs,
        "masking": settings.masking,
        "privacy": settings.privacy_role,
        "sources": sources,
    }
    result: list[PlanStatement] = []
    role = ""
    for path in sorted((SQL / "provision").glob("*.sql")):
        text = template(f"provision/{path.name}", **values)
        for sql, _ in split_statements(StringIO(text)):
            statement = PlanStatement(role, (sql or "").strip().removesuffix(";").rstrip())
            if use := re.fullmatch(r"USE ROLE (\w+)", statement.bare):
                role = use[1]
            elif statement.bare:
                result.append(statement)
    if settings.masking:
        result += [PlanStatement(who, sql) for who, sql in masks.policies(settings)]
    return result


def pipeline_user(settings: Settings) -> str:
    """Return the service user that runs the pipeline, with the loader's role, and for dbt the transformer's."""
    return f"CXM_PIPELINE_SVC{settings.env_suffix('_').upper()}"


def reporter_user(settings: Settings) -> str:
    """Return the service user that reports log in with."""
    return f"CXM_REPORTER_SVC{settings.env_suffix('_').upper()}"


def items(account: AccountReader, expected: Sequence[PlanStatement]) -> Iterator[Item]:
    """Yield the item of each statement; it is unchanged if the account already matches."""
    making: set[tuple[str, str]] = set()  # (kind, schema) in which an object will be created
    for statement in expected:
        if masked := masks.item(account, statement.role, statement.sql, statement.bare):
            item = masked
        elif match := _CREATE.match(statement.bare):
            kind, name = match["kind"], match["name"]
            item, *hidden = _created(account, statement, kind, name, match["rest"])
            yield from hidden
            if item.action == "created":
                making.add((kind, name.rpartition(".")[0]))
        elif match := _GRANT_ROLE.match(statement.bare):
            holders = account.holders(match["role"])
            why = None if holders is None else "" if (match["to"], match["name"]) in holders else "not granted"
            item = _grant(statement, f"{match['role']} → {match['name']}", why)
        elif match := _GRANT_VIEWER.match(statement.bare):
            held = account.granted(match["role"])
            is_granted = held is not None and ("USAGE", "DATABASE ROLE", match["viewer"]) in held
            item = _grant(
                statement,
                f"{match['viewer']} → {match['role']}",
                None if held is None else "" if is_granted else "not granted",
            )
        elif match := _GRANT_IN.match(statement.bare):
            item = _granted_in(account, statement, match, (match["kind"], match["schema"]) in making)
        elif match := _GRANT_ON.match(statement.bare):
            granted = account.granted(match["role"])
            wants = match["privileges"].split(", ")
            why = _missing(p for p in wants if (p, match["kind"], match["name"]) not in (granted or ()))
            why = None if granted is None else why
            item = _grant(statement, f"{match['name']} → {match['role']}", why)
        elif match := _LEASE.match(statement.bare):
            item = _lease(account, statement, match["table"], match["source"], making)
        elif match := _MONITOR.match(statement.bare):
            row = account.find("WAREHOUSE", match["warehouse"])
            is_ = row["resource_monitor"] if row else "nothing"
            same = is_ == match["monitor"]
            why = "" if same else f"resource monitor: got {is_}, expected {match['monitor']}"
            action = "unchanged" if same else "changed" if row else "created"
            steps = () if same else (statement.sql,)
            item = Item(statement.role, "resource monitor of", match["warehouse"], action, why, steps)  # type: ignore[arg-type]
        else:
            raise ValueError(f"sql/provision: no rule to compare this statement with the account: {statement.bare}")
        yield item


def _lease(
    account: AccountReader, statement: PlanStatement, table: str, source: str, making: set[tuple[str, str]]
) -> Item:
    """Return the item of a source's row in the lease table: created or unchanged."""
    name = f"{table} of {source}"
    if ("TABLE", table.rpartition(".")[0]) in making:
        exists = False
    else:
        rows = account.seen(f"SELECT SOURCE FROM {table}")
        if rows is None:
            return Item(statement.role, "lease", name, "hidden", f"SELECT on {table} is refused")
        exists = source in {str(row["source"]) for row in rows}
    action, why, steps = ("unchanged", "", ()) if exists else ("created", "does not exist", (statement.sql,))
    return Item(statement.role, "lease", name, action, why, steps)  # type: ignore[arg-type]


def granted_by(
    expected: Sequence[PlanStatement], role: str
) -> tuple[frozenset[tuple[str, str, str]], frozenset[tuple[str, str, str]]]:
    """Return a role's grants in the statements: (privilege, kind, name) on objects, (privilege, kind, schema) on schemas."""
    on: set[tuple[str, str, str]] = set()
    inside: set[tuple[str, str, str]] = set()
    for statement in expected:
        if (match := _GRANT_IN.match(statement.bare)) and match["role"] == role:
            inside |= {(p, match["kind"], match["schema"]) for p in match["privileges"].split(", ")}
        elif (match := _GRANT_ON.match(statement.bare)) and match["role"] == role:
            on |= {(p, match["kind"], match["name"]) for p in match["privileges"].split(", ")}
        elif (match := _GRANT_VIEWER.match(statement.bare)) and match["role"] == role:
            on.add(("USAGE", "DATABASE ROLE", match["viewer"]))  # as SHOW GRANTS TO ROLE lists it
    return frozenset(on), frozenset(inside)


def _missing(privileges: Iterable[str]) -> str | None:
    names = ", ".join(privileges)
    return f"missing: {names}" if names else ""


def _grant(statement: PlanStatement, name: str, why: str | None) -> Item:
    """Return a grant's item. `why` is empty if the grant exists, None if the reading role may not see the grants."""
    if why is None:
        return Item(statement.role, "grant", name, "hidden", "SHOW GRANTS is refused")
    action = "created" if why else "unchanged"
    return Item(statement.role, "grant", name, action, why, (statement.sql,) if why else ())  # type: ignore[arg-type]


def _granted_in(account: AccountReader, statement: PlanStatement, match: re.Match[str], more_to_come: bool) -> Item:
    privileges, role = match["privileges"].split(", "), match["role"]
    kind, schema = match["kind"], match["schema"]
    name = f"{match['scope'].lower()} {kind.lower()}s in {schema} → {role}"
    if match["scope"] == "FUTURE":
        promised = account.promised(role)
        why = None if promised is None else _missing(p for p in privileges if (p, kind, schema) not in promised)
        return _grant(statement, name, why)
    granted = account.granted(role)
    if granted is None:
        return _grant(statement, name, None)
    lacking = [
        full for full in account.of_kind(kind, schema) if any((p, kind, full) not in granted for p in privileges)
    ]  # fmt: skip
    why = f"missing on {', '.join(lacking)}" if lacking else "for what this plan makes" if more_to_come else ""
    return _grant(statement, name, why)


def _created(account: AccountReader, statement: PlanStatement, kind: str, name: str, rest: str) -> Iterator[Item]:
    """Yield the object's item, then one for the properties that the reading role may not see."""
    shown = kind.lower()
    if kind == "TABLE":
        yield _own_table(account, statement, name, rest)
        return
    row = account.find(kind, name)
    if row is None:
        yield Item(statement.role, shown, name, "created", "does not exist", (statement.sql,))
        return
    options = {m["key"]: m["value"] for m in _OPTION.finditer(_without_comments(rest))}
    properties, hidden = _properties(account, kind, name, row)
    yield _compared(statement, kind, name, properties, options)
    if unseen := [key for key in options if key in hidden]:
        yield Item(statement.role, shown, name, "hidden", ", ".join(unseen))


def _compared(
    statement: PlanStatement, kind: str, name: str, properties: dict[str, str], options: dict[str, str]
) -> Item:
    differ = {key: v for key, v in options.items() if key in properties and not same(kind, properties[key], v)}
    if not differ:
        return Item(statement.role, kind.lower(), name, "unchanged")
    why = "; ".join(
        f"{key}: got {properties[key].strip() or 'nothing'}, expected {', '.join(members(v)) or 'nothing'}"
        for key, v in differ.items()
    )
    differ |= {_TOGETHER[key]: options[_TOGETHER[key]] for key in differ if key in _TOGETHER}
    alter = f"ALTER {kind} {name} SET\n    " + "\n    ".join(f"{key} = {value}" for key, value in differ.items())
    return Item(statement.role, kind.lower(), name, "changed", why, (alter,))


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))


def _properties(
    account: AccountReader, kind: str, name: str, row: dict[str, Any]
) -> tuple[dict[str, str], frozenset[str]]:
    """Return an object's properties as text, by their name in CREATE; and the names of those that the role may not see."""
    # A column that an account does not have yet cannot be compared.
    properties = {key: str(row[column] or "") for key, column in _SHOWN.get(kind, {}).items() if column in row}
    if kind in _COMMENTED:
        properties["COMMENT"] = str(row.get("comment") or "")
    hidden: set[str] = set()
    for names, seen in (
        (_DESCRIBED.get(kind), account.described),
        (_PARAMETERS.get(kind), account.parameters),
    ):
        if names:
            values = seen(kind, name)
            properties |= {key: value for key, value in (values or {}).items() if key in names}
            hidden |= set(names) if values is None else set()
    return properties, frozenset(hidden)


def _own_table(account: AccountReader, statement: PlanStatement, name: str, rest: str) -> Item:
    """Return the item of one of the pipeline's own tables: created, or altered to add missing columns."""
    database, schema, table = name.split(".")
    if name not in account.of_kind("TABLE", f"{database}.{schema}"):
        return Item(statement.role, "table", name, "created", "does not exist", (statement.sql,))
    sql = (
        f"SELECT COLUMN_NAME FROM {database}.INFORMATION_SCHEMA.COLUMNS "
        f"WHERE TABLE_SCHEMA = {literal(schema)} AND TABLE_NAME = {literal(table)}"
    )
    existing = {str(r["column_name"]) for r in account.seen(sql) or ()}
    if not existing:
        return Item(statement.role, "table", name, "hidden", "its columns")
    columns = dict(re.findall(r"^    ([A-Z_]+) (.+?),?$", rest, re.M))
    missing = {column: kind for column, kind in columns.items() if column not in existing}
    if not missing:
        return Item(statement.role, "table", name, "unchanged")
    # Existing rows have no value for a new column, so it cannot be NOT NULL.
    added = ",\n    ".join(f"IF NOT EXISTS {c} {kind.replace(' NOT NULL', '')}" for c, kind in missing.items())
    alter = f"ALTER TABLE {name} ADD COLUMN\n    {added}"
    return Item(statement.role, "table", name, "changed", f"columns missing: {', '.join(missing)}", (alter,))


def integration_trust(account: AccountReader, integration: str) -> tuple[str, str] | None:
    """Read (Snowflake's IAM user, external id) of the storage integration; None if it is missing or not visible."""
    if account.find("STORAGE INTEGRATION", integration) is None:
        return None
    described = account.described("STORAGE INTEGRATION", integration)
    return None if described is None else (described["STORAGE_AWS_IAM_USER_ARN"], described["STORAGE_AWS_EXTERNAL_ID"])
