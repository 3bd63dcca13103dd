"""`sql/provision/NN_*.sql` and a Snowflake account → what differs, as `Item`s.

The files say what is wanted, SHOW and DESC what is there.

Reading sends SHOW, DESC and SELECT only. CREATE … IF NOT EXISTS makes what is missing, ALTER … SET mends a property, GRANT adds a
privilege; no statement replaces or drops anything.

Long because every kind of object is read, compared and mended in one way, which its table of properties holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.contract.sql import SQL, ident, literal, template
from flows.settings import Settings
from flows.steps.provision.plan import Item

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

# What SHOW calls a property that CREATE takes; what is not named here is not compared: a warehouse's size is its operator's.
_SHOWN = {
    "WAREHOUSE": {"AUTO_SUSPEND": "auto_suspend", "AUTO_RESUME": "auto_resume"},
    "RESOURCE MONITOR": {"CREDIT_QUOTA": "credit_quota", "FREQUENCY": "frequency"},
    "STAGE": {"URL": "url", "STORAGE_INTEGRATION": "storage_integration"},
    "USER": {
        "TYPE": "type",
        "DEFAULT_ROLE": "default_role",
        "DEFAULT_WAREHOUSE": "default_warehouse",
        "DEFAULT_SECONDARY_ROLES": "default_secondary_roles",
    },
}
_PARAMETERS = {"WAREHOUSE": ("STATEMENT_TIMEOUT_IN_SECONDS", "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS")}
_DESCRIBED = {
    "STORAGE INTEGRATION": ("ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"),
    "FILE FORMAT": (
        "FIELD_DELIMITER",
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
# SHOW RESOURCE MONITORS shows no comment, and a monitor takes none.
_COMMENTED = (
    "WAREHOUSE", "DATABASE", "SCHEMA", "ROLE", "STORAGE INTEGRATION", "FILE FORMAT", "STAGE", "USER", "TAG",
)  # fmt: skip
_PLURAL = {"FILE FORMAT": "FILE FORMATS", "STORAGE INTEGRATION": "INTEGRATIONS"}

_CREATE = re.compile(r"CREATE (?P<kind>[A-Z ]+?) IF NOT EXISTS (?P<name>[\w.$]+)\s*(?P<rest>.*)", re.S)
_OPTION = re.compile(r"(?P<key>[A-Z_0-9]+)\s*=\s*(?P<value>'(?:[^'\\]|\\.|'')*'|\([^)]*\)|[^\s()']+)", re.S)
_GRANT_ROLE = re.compile(r"GRANT ROLE (?P<role>\w+) TO (?P<to>ROLE|USER) (?P<name>\w+)")
_GRANT_IN = re.compile(
    r"GRANT (?P<privileges>[A-Z, ]+) ON (?P<scope>ALL|FUTURE) (?P<kind>[A-Z ]+)S IN SCHEMA (?P<schema>[\w.$]+) "
    r"TO ROLE (?P<role>\w+)"
)
_GRANT_ON = re.compile(r"GRANT (?P<privileges>[A-Z, ]+) ON (?P<kind>[A-Z ]+) (?P<name>[\w.$]+) TO ROLE (?P<role>\w+)")
_MONITOR = re.compile(r"ALTER WAREHOUSE (?P<warehouse>\w+) SET RESOURCE_MONITOR = (?P<monitor>\w+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of `sql/provision/` and the role that runs it; `bare` is without its comment lines."""

    role: str
    sql: str

    @property
    def bare(self) -> str:
        return "\n".join(line for line in self.sql.splitlines() if not line.lstrip().startswith("--")).strip()


def statements(settings: Settings, sources: Sequence[Source], storage_role_arn: str) -> list[Statement]:
    """Every statement of `sql/provision/` in order, names filled in."""
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
        "file_format": sources[0].file_format,
        "pii_tags": settings.pii_tags,
        "sources": sources,
    }
    found: list[Statement] = []
    role = ""
    for path in sorted((SQL / "provision").glob("*.sql")):
        text = template(f"provision/{path.name}", **values)
        for sql, _ in split_statements(StringIO(text)):
            statement = Statement(role, (sql or "").strip().removesuffix(";").rstrip())
            if use := re.fullmatch(r"USE ROLE (\w+)", statement.bare):
                role = use[1]
            elif statement.bare:
                found.append(statement)
    return found


def pipeline_user(settings: Settings) -> str:
    """The service user that runs the pipeline: it may take the loader's role, or the transformer's for dbt."""
    return f"CXM_PIPELINE_SVC{settings.env_suffix('_').upper()}"


def reporter_user(settings: Settings) -> str:
    """The service user that reports log in with."""
    return f"CXM_REPORTER_SVC{settings.env_suffix('_').upper()}"


@dataclass
class Account:
    """What is there, read once: rows of SHOW by kind and name, grants by role, tables by schema."""

    connection: SnowflakeConnection
    settings: Settings
    shown: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(default_factory=dict)
    grants: dict[str, frozenset[tuple[str, str, str]]] = field(default_factory=dict)  # role → (privilege, kind, name)
    futures: dict[str, frozenset[tuple[str, str, str]]] = field(
        default_factory=dict
    )  # role → (privilege, kind, schema)
    held: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)  # role → (ROLE | USER, who has it)
    relations: dict[tuple[str, str], list[str]] | None = None  # (schema, TABLE | VIEW) → full names

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return run(self.connection, sql).dicts()

    def found(self, kind: str, name: str) -> dict[str, Any] | None:
        """The SHOW row of an object; None where it is not there or the session may not see it."""
        parts = name.split(".")
        place = ".".join(parts[:-1])
        if (kind, place) not in self.shown:
            self.shown[kind, place] = self._show(kind, place)
        return self.shown[kind, place].get(parts[-1])

    def _show(self, kind: str, place: str) -> dict[str, dict[str, Any]]:
        """Every object of a kind in a place (the account, a database, a schema), by name; nothing where the place is missing."""
        if place:
            above = "SCHEMA" if "." in place else "DATABASE"
            if self.found(above, place) is None:
                return {}
        scope = f" IN {'SCHEMA' if '.' in place else 'DATABASE'} {place}" if place else ""
        return {str(r["name"]): r for r in self.rows(f"SHOW {_PLURAL.get(kind, kind + 'S')}{scope}")}

    def of_kind(self, kind: str, schema: str) -> list[str]:
        """Full names of the objects of a kind in a schema, for ON ALL … IN SCHEMA."""
        if kind not in ("TABLE", "VIEW"):
            self.found(kind, f"{schema}.")
            return [f"{schema}.{name}" for name in self.shown[kind, schema]]
        if self.relations is None:
            self.relations = {}
            database = schema.split(".")[0]
            if self.found("DATABASE", database):
                for row in self.rows(
                    f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM {database}.INFORMATION_SCHEMA.TABLES "
                    "WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"
                ):
                    type_ = "VIEW" if "VIEW" in str(row["table_type"]) else "TABLE"
                    place = f"{database}.{row['table_schema']}"
                    self.relations.setdefault((place, type_), []).append(f"{place}.{row['table_name']}")
        return self.relations.get((schema, kind), [])

    def granted(self, role: str) -> frozenset[tuple[str, str, str]]:
        """(privilege, kind, name) of what a role holds itself."""
        if role not in self.grants:
            rows = self.rows(f"SHOW GRANTS TO ROLE {ident(role)}") if self.found("ROLE", role) else []
            self.grants[role] = frozenset(
                (str(r["privilege"]), str(r["granted_on"]).replace("_", " "), str(r["name"]).replace('"', ""))
                for r in rows
            )
        return self.grants[role]

    def promised(self, role: str) -> frozenset[tuple[str, str, str]]:
        """(privilege, kind, schema) of a role's future grants."""
        if role not in self.futures:
            rows = self.rows(f"SHOW FUTURE GRANTS TO ROLE {ident(role)}") if self.found("ROLE", role) else []
            self.futures[role] = frozenset(
                (str(r["privilege"]), str(r["grant_on"]).replace("_", " "), str(r["name"]).partition(".<")[0])
                for r in rows
            )
        return self.futures[role]

    def holders(self, role: str) -> frozenset[tuple[str, str]]:
        """Which roles and users a role was granted to."""
        if role not in self.held:
            rows = self.rows(f"SHOW GRANTS OF ROLE {ident(role)}") if self.found("ROLE", role) else []
            self.held[role] = frozenset((str(r["granted_to"]), str(r["grantee_name"])) for r in rows)
        return self.held[role]


def items(account: Account, wanted: Sequence[Statement]) -> Iterator[Item]:
    """Each statement's item: unchanged where the account already is as it says."""
    making: set[tuple[str, str]] = set()  # (kind, schema) of which something is to be made
    for statement in wanted:
        if found := _CREATE.match(statement.bare):
            kind, name = found["kind"], found["name"]
            item = _created(account, statement, kind, name, found["rest"])
            if item.action == "created":
                making.add((kind, name.rpartition(".")[0]))
        elif found := _GRANT_ROLE.match(statement.bare):
            there = (found["to"], found["name"]) in account.holders(found["role"])
            item = _grant(statement, f"{found['role']} → {found['name']}", "" if there else "not granted")
        elif found := _GRANT_IN.match(statement.bare):
            item = _granted_in(account, statement, found, (found["kind"], found["schema"]) in making)
        elif found := _GRANT_ON.match(statement.bare):
            missing = [
                privilege
                for privilege in found["privileges"].split(", ")
                if (privilege, found["kind"], found["name"]) not in account.granted(found["role"])
            ]
            why = f"missing: {', '.join(missing)}" if missing else ""
            item = _grant(statement, f"{found['name']} → {found['role']}", why)
        elif found := _MONITOR.match(statement.bare):
            row = account.found("WAREHOUSE", found["warehouse"])
            is_ = row["resource_monitor"] if row else "nothing"
            same = is_ == found["monitor"]
            why = "" if same else f"resource monitor: found {is_}, wanted {found['monitor']}"
            action = "unchanged" if same else "changed" if row else "created"
            steps = () if same else (statement.sql,)
            item = Item(statement.role, "resource monitor of", found["warehouse"], action, why, steps)  # type: ignore[arg-type]
        else:
            raise ValueError(f"sql/provision: no rule to compare this statement with the account: {statement.bare}")
        yield item


def granted_by(
    wanted: Sequence[Statement], role: str
) -> tuple[frozenset[tuple[str, str, str]], frozenset[tuple[str, str, str]]]:
    """What the statements give a role: (privilege, kind, name) on one object, (privilege, kind, schema) on all in a schema."""
    on: set[tuple[str, str, str]] = set()
    inside: set[tuple[str, str, str]] = set()
    for statement in wanted:
        if (found := _GRANT_IN.match(statement.bare)) and found["role"] == role:
            inside |= {(p, found["kind"], found["schema"]) for p in found["privileges"].split(", ")}
        elif (found := _GRANT_ON.match(statement.bare)) and found["role"] == role:
            on |= {(p, found["kind"], found["name"]) for p in found["privileges"].split(", ")}
    return frozenset(on), frozenset(inside)


def _grant(statement: Statement, name: str, why: str) -> Item:
    action = "created" if why else "unchanged"
    return Item(statement.role, "grant", name, action, why, (statement.sql,) if why else ())  # type: ignore[arg-type]


def _granted_in(account: Account, statement: Statement, found: re.Match[str], more_to_come: bool) -> Item:
    privileges, role = found["privileges"].split(", "), found["role"]
    kind, schema = found["kind"], found["schema"]
    name = f"{found['scope'].lower()} {kind.lower()}s in {schema} → {role}"
    if found["scope"] == "FUTURE":
        missing = [p for p in privileges if (p, kind, schema) not in account.promised(role)]
        return _grant(statement, name, f"missing: {', '.join(missing)}" if missing else "")
    lacking = [
        full for full in account.of_kind(kind, schema) if any((p, kind, full) not in account.granted(role) for p in privileges)
    ]  # fmt: skip
    why = f"missing on {', '.join(lacking)}" if lacking else "for what this plan makes" if more_to_come else ""
    return _grant(statement, name, why)


def _created(account: Account, statement: Statement, kind: str, name: str, rest: str) -> Item:
    shown = kind.lower()
    if kind == "TABLE":
        return _own_table(account, statement, name, rest)
    row = account.found(kind, name)
    if row is None:
        return Item(statement.role, shown, name, "created", "not there", (statement.sql,))
    options = {m["key"]: m["value"] for m in _OPTION.finditer(_without_comments(rest))}
    there = _properties(account, kind, name, row)
    differ = {key: value for key, value in options.items() if key in there and not _same(there[key], value)}
    if not differ:
        return Item(statement.role, shown, name, "unchanged")
    why = "; ".join(f"{key}: found {_plain(there[key]) or 'nothing'}, wanted {_plain(v)}" for key, v in differ.items())
    alter = f"ALTER {kind} {name} SET\n    " + "\n    ".join(f"{key} = {value}" for key, value in differ.items())
    return Item(statement.role, shown, name, "changed", why, (alter,))


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))


def _properties(account: Account, kind: str, name: str, row: dict[str, Any]) -> dict[str, str]:
    """What an object's properties are, as text, by the name that CREATE gives them."""
    found = {key: str(row.get(column) or "") for key, column in _SHOWN.get(kind, {}).items()}
    if kind in _COMMENTED:
        found["COMMENT"] = str(row.get("comment") or "")
    if wanted := _DESCRIBED.get(kind):
        desc = account.rows(f"DESC {kind} {name}")
        found |= {str(r["property"]): str(r["property_value"]) for r in desc if r["property"] in wanted}
    if wanted := _PARAMETERS.get(kind):
        rows = account.rows(f"SHOW PARAMETERS IN {kind} {name}")
        found |= {str(r["key"]): str(r["value"]) for r in rows if r["key"] in wanted}
    return found


def _same(found: str, wanted: str) -> bool:
    """Whether SHOW's or DESC's text means what CREATE's says: lists by their members, numbers by value, words in any case."""
    return _plain(found).casefold() == _plain(wanted).casefold()


def _plain(value: str) -> str:
    """`('', 'null')`, `["", "null"]` and `[, null]` → `, null`; `'s3://x/'` → `s3://x/`; `20.00` → `20`."""
    text = value.strip()
    if text[:1] + text[-1:] in ("()", "[]"):
        return ", ".join(_plain(part) for part in text[1:-1].split(","))
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].replace("\\'", "'").replace("\\\\", "\\").replace("''", "'")
    return str(int(float(text))) if re.fullmatch(r"\d+\.0+", text) else text


def _own_table(account: Account, statement: Statement, name: str, rest: str) -> Item:
    """A table of the pipeline's own: made, or given the columns that it lacks."""
    database, schema, table = name.split(".")
    if name not in account.of_kind("TABLE", f"{database}.{schema}"):
        return Item(statement.role, "table", name, "created", "not there", (statement.sql,))
    sql = (
        f"SELECT COLUMN_NAME FROM {database}.INFORMATION_SCHEMA.COLUMNS "
        f"WHERE TABLE_SCHEMA = {literal(schema)} AND TABLE_NAME = {literal(table)}"
    )
    there = {str(r["column_name"]) for r in account.rows(sql)}
    columns = dict(re.findall(r"^    ([A-Z_]+) (.+?),?$", rest, re.M))
    missing = {column: kind for column, kind in columns.items() if column not in there}
    if not missing:
        return Item(statement.role, "table", name, "unchanged")
    # Rows that are there have no value for a new column, so it cannot be NOT NULL.
    added = ",\n    ".join(f"IF NOT EXISTS {c} {kind.replace(' NOT NULL', '')}" for c, kind in missing.items())
    alter = f"ALTER TABLE {name} ADD COLUMN\n    {added}"
    return Item(statement.role, "table", name, "changed", f"columns missing: {', '.join(missing)}", (alter,))


def key_items(account: Account, settings: Settings) -> Iterator[Item]:
    """The public keys that `cxm keys create` left in CXM_HOME/keys, set on their service users.

    A user that has another key keeps it: the new one goes beside it (RSA_PUBLIC_KEY_2), so that a rotation interrupts nothing
    (https://docs.snowflake.com/en/user-guide/key-pair-auth#configuring-key-pair-rotation).
    """
    for user in (pipeline_user(settings), reporter_user(settings)):
        path = settings.home / "keys" / f"{user}.pub"
        if not path.exists():
            continue
        key = "".join(line for line in path.read_text().splitlines() if "-" not in line)
        there: dict[str, str] = {}
        if account.found("USER", user):
            there = {str(r["property"]): str(r["value"]) for r in account.rows(f"DESC USER {ident(user)}")}
        slots = ("RSA_PUBLIC_KEY", "RSA_PUBLIC_KEY_2")
        if fingerprint(key) in (there.get("RSA_PUBLIC_KEY_FP"), there.get("RSA_PUBLIC_KEY_2_FP")):
            yield Item("USERADMIN", "public key", user, "unchanged")
            continue
        empty = [slot for slot in slots if there.get(f"{slot}_FP", "null") in ("null", "", "None")]
        slot = empty[0] if empty else slots[1]
        why = f"{path.name} in CXM_HOME/keys is not the user's key; goes to {slot}"
        statement = f"ALTER USER {ident(user)} SET {slot} = {literal(key)}"
        yield Item("USERADMIN", "public key", user, "changed" if there else "created", why, (statement,))


def fingerprint(public_key: str) -> str:
    """`SHA256:…` of a public key (base64 of its DER form), as DESC USER shows it."""
    import base64
    import hashlib

    return "SHA256:" + base64.b64encode(hashlib.sha256(base64.b64decode(public_key)).digest()).decode()


def integration_trust(account: Account, integration: str) -> tuple[str, str] | None:
    """(Snowflake's IAM user, external id) of the storage integration; None while it is not there."""
    if account.found("STORAGE INTEGRATION", integration) is None:
        return None
    rows = account.rows(f"DESC STORAGE INTEGRATION {ident(integration)}")
    found = {str(r["property"]): str(r["property_value"]) for r in rows}
    return found["STORAGE_AWS_IAM_USER_ARN"], found["STORAGE_AWS_EXTERNAL_ID"]
