"""One Snowflake session: its user and role, database and schema, parameters, and whether a transaction is open.

login ──▶ WarehouseConnection ──▶ an executor for each statement; its state lives as long as the session's token

Its transaction is in `transaction`, what a role may do in `privileges`, stages by name in `stage_lookup`.
Roles and privileges: https://docs.snowflake.com/en/user-guide/security-access-control-overview.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb

from flows.embedded.warehouse.account.account import GLOBAL_KINDS
from flows.embedded.warehouse.account.objects import ACCOUNTADMIN
from flows.embedded.warehouse.account.parameters import SESSION_DEFAULTS, check_parameter
from flows.embedded.warehouse.session.registry import Registry
from flows.embedded.warehouse.session.running import Statement
from flows.embedded.warehouse.session.transaction import Transaction
from flows.embedded.warehouse.storage.engine import Engine
from flows.embedded.warehouse.text import errors, time_formats
from flows.embedded.warehouse.text.grammar import normalise, quote, quote_name

# Parameter → the engine's variable for it; a parameter that is empty follows TIMESTAMP_OUTPUT_FORMAT.
OUTPUT_FORMATS = {
    "DATE_OUTPUT_FORMAT": "cxm_date", "TIME_OUTPUT_FORMAT": "cxm_time", "TIMESTAMP_NTZ_OUTPUT_FORMAT": "cxm_ntz",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT": "cxm_ltz", "TIMESTAMP_TZ_OUTPUT_FORMAT": "cxm_tz", "TIMESTAMP_OUTPUT_FORMAT": "",
}  # fmt: skip


class WarehouseConnection:
    """A session: user, role, warehouse, current database and schema, parameters, a transaction, its own connection to the engine.

    `lock` is held while one of its statements runs: a session runs its statements one after the other.
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        database: str | None = None,
        schema: str | None = None,
        *,
        user: str = "EMBEDDED",
        role: str | None = None,
        warehouse: str | None = None,
        autocommit: bool = True,
        parameters: Mapping[str, object] | None = None,
    ) -> None:
        self.engine, self.registry, self.account = engine, registry, engine.account
        self.duck = engine.duck.cursor()
        self.closed = False
        self.lock = threading.RLock()
        self.session_id = secrets.randbelow(2**53)
        self.user = user
        self.role = role or ACCOUNTADMIN
        self.warehouse: str | None = None
        self.database: str | None = None
        self.schema: str | None = None
        self.secondary_roles = "NONE"
        self.parameters: dict[str, object] = {}
        self.variables: dict[str, Any] = {}
        self.autocommit_on = autocommit
        self.transaction = Transaction(self, self.duck)
        self.beside: duckdb.DuckDBPyConnection | None = None  # where a statement of an open transaction is tried
        self.client = "PythonConnector"
        self.answered: tuple[str, dict[str, Any]] = ("", {})  # request id of the last statement, and its answer
        self.registered: dict[
            str, duckdb.DuckDBPyConnection
        ] = {}  # Arrow tables that the engine reads for the running statement
        self.temporary_tables: dict[tuple[str, str, str], str] = {}
        self.temporary_lengths: dict[tuple[str, str, str], dict[str, int]] = {}  # of their VARCHAR(n) columns
        self.temporary_since: dict[tuple[str, str, str], datetime] = {}  # when each of them was made
        self.last_query_ids: list[str] = []
        self.last_used = datetime.now(UTC)
        self.last_statement = time.monotonic()
        self.statement: Statement | None = None  # the one that runs
        self.sockets: set[tuple[str, int]] = set()  # (host, port) of the client, one per socket
        self.keeps_sockets = False
        registry.sessions[self.session_id] = self
        for name, value in (parameters or {}).items():
            if name.upper() in SESSION_DEFAULTS:
                self.set_parameter(name, value)
        if warehouse and self.account.find("WAREHOUSE", normalise(warehouse)):
            self.warehouse = normalise(warehouse)
        if database and normalise(database) in engine.databases() and self.may_see("DATABASE", normalise(database)):
            self.use_database(normalise(database))
            if schema and self.has_schema(normalise(database), normalise(schema)):
                self.use_schema(normalise(database), normalise(schema))

    def autocommit(self, mode: bool) -> None:
        """Turn autocommit on or off; what is open commits (https://docs.snowflake.com/en/sql-reference/transactions#autocommit)."""
        self.transaction.end("COMMIT")
        self.autocommit_on = mode

    def interrupt(self) -> None:
        """Stop what the engine runs for the session at this moment; if the transaction has written, only what runs beside it,
        since DuckDB would abort the transaction."""
        if (beside := self.beside) is not None:
            beside.interrupt()
        if not (self.transaction.open and self.transaction.wrote):
            for part in (self.transaction.parts.first, *self.transaction.parts.later):
                part.duck.interrupt()

    def close(self) -> None:
        """End the session; what it has not committed is rolled back."""
        with self.lock:
            if self.closed:
                return
            try:
                self.transaction.end("ROLLBACK")
            finally:
                self.duck.close()
                self.closed = True

    # ---- namespace

    def has_schema(self, database: str, schema: str) -> bool:
        """Whether a schema exists, INFORMATION_SCHEMA included."""
        return schema == "INFORMATION_SCHEMA" or self.account.find("SCHEMA", f"{database}.{schema}") is not None

    def use_database(self, database: str) -> None:
        """Make a database current, and its PUBLIC schema when it has one
        (https://docs.snowflake.com/en/sql-reference/sql/use-database)."""
        self.database, self.schema = database, None
        if "PUBLIC" in self.engine.schemas(database):
            self.use_schema(database, "PUBLIC")
        else:
            self.leave_schema()

    def use_schema(self, database: str, schema: str) -> None:
        """Make a schema current."""
        stored = "_FS_INFORMATION_SCHEMA" if schema == "INFORMATION_SCHEMA" else schema
        self.duck.execute(f"SET schema = {quote(quote_name(database) + '.' + quote_name(stored))}")
        self.database, self.schema = database, schema

    def leave_database(self) -> None:
        """Leave the current database and schema."""
        self.database, self.schema = None, None
        self.duck.execute("SET schema = 'memory.main'")

    def leave_schema(self) -> None:
        """Leave the current schema, stay in the database."""
        self.schema = None
        self.duck.execute(f"SET schema = {quote(quote_name(self.database or 'memory') + '.main')}")

    def refresh_namespace(self) -> None:
        """Leave a current database or schema that another session has dropped, so that DuckDB can run the next statement."""
        if self.database and self.account.find("DATABASE", self.database) is None:
            self.leave_database()
        elif self.database and self.schema and not self.has_schema(self.database, self.schema):
            self.leave_schema()

    def qualify(self, parts: Sequence[str], command: str = "SELECT") -> tuple[str, str, str]:
        """Return (database, schema, name) for a name of one to three parts.

        Raises ProgrammingError 090105 / 090106 (22000) when there is no current database / schema to complete it.
        """
        if len(parts) == 3:
            return parts[0], parts[1], parts[2]
        if self.database is None:
            raise errors.no_current("database", command)
        if len(parts) == 2:
            return self.database, parts[0], parts[1]
        if self.schema is None:
            raise errors.no_current("schema", command)
        return self.database, self.schema, parts[0]

    def qualify_schema(self, parts: Sequence[str], command: str = "SELECT") -> tuple[str, str]:
        """Return (database, schema) for a schema's name of one or two parts."""
        if len(parts) == 2:
            return parts[0], parts[1]
        if self.database is None:
            raise errors.no_current("database", command)
        return self.database, parts[0]

    def full_name(self, kind: str, parts: Sequence[str], command: str = "SELECT") -> str:
        """Return the registry's name for an object of `kind` called `parts` here."""
        if kind in GLOBAL_KINDS or kind == "ACCOUNT":
            return ".".join(parts)
        if kind == "SCHEMA":
            return ".".join(self.qualify_schema(parts, command))
        return ".".join(self.qualify(parts, command))

    # ---- access

    def allowed_roles(self) -> frozenset[str]:
        """Return the roles USE ROLE may name."""
        return self.engine.roles_for(self.user)

    def active_roles(self) -> frozenset[str]:
        """Return the current role and, with USE SECONDARY ROLES ALL, the user's other roles, each with what it holds."""
        held = self.account.roles_of(self.role)
        return held | self.account.roles_of_user(self.user) if self.secondary_roles == "ALL" else held

    def may(self, privilege: str, kind: str, name: str) -> bool:
        """Whether the current role has a privilege on an object; creating is the primary role's right alone
        (https://docs.snowflake.com/en/user-guide/security-access-control-overview#authorization-through-primary-role-and-secondary-roles)."""
        roles = self.account.roles_of(self.role) if privilege.startswith("CREATE ") else self.active_roles()
        return self.account.holds(roles, privilege, kind, name)

    def may_see(self, kind: str, name: str) -> bool:
        """Whether the current role may know of an object."""
        return self.account.holds_any(self.active_roles(), kind, name)

    def require(self, privilege: str, kind: str, name: str) -> None:
        """Raise 003001 (42501) unless the current role has the privilege on the object."""
        if not self.may(privilege, kind, name):
            raise errors.insufficient(kind, name.rpartition(".")[2])

    def require_use_of(self, database: str, schema: str | None = None) -> None:
        """Raise 003001 (42501) unless the role has USAGE on the database, and on the schema when one is given."""
        self.require("USAGE", "DATABASE", database)
        if schema is not None and schema != "INFORMATION_SCHEMA":
            self.require("USAGE", "SCHEMA", f"{database}.{schema}")

    # ---- parameters

    def parameter(self, name: str) -> object:
        """Return a session parameter's value: the session's, else the user's, else Snowflake's default."""
        name = name.upper()
        if name in self.parameters:
            return self.parameters[name]
        user = self.account.find("USER", self.user)
        if user and name in user.properties:
            return user.properties[name]
        return SESSION_DEFAULTS[name].default

    def set_parameter(self, name: str, value: object) -> None:
        """ALTER SESSION SET one parameter (https://docs.snowflake.com/en/sql-reference/sql/alter-session)."""
        name = name.upper()
        self.parameters[name] = check_parameter(name, value)
        self._apply(name)

    def unset_parameter(self, name: str) -> None:
        """ALTER SESSION UNSET one parameter."""
        name = name.upper()
        check_parameter(name, None)
        self.parameters.pop(name, None)
        self._apply(name)

    def _apply(self, name: str) -> None:
        value = self.parameter(name)
        if name == "TIMEZONE":
            try:
                self.duck.execute(f"SET TimeZone = {quote(str(value))}")
            except duckdb.Error:
                self.parameters.pop(name, None)
                raise errors.invalid_value(value, name) from None  # the user's statement is not the cause
        elif name in OUTPUT_FORMATS:
            self._apply_formats()
        elif name == "AUTOCOMMIT":
            self.autocommit(bool(value))

    def _apply_formats(self) -> None:
        """Set the session's formats of dates and times as variables, which the macros read
        (https://docs.snowflake.com/en/sql-reference/date-time-input-output#output-formats)."""
        for name, variable in OUTPUT_FORMATS.items():
            format_ = self.parameter(name) or self.parameter("TIMESTAMP_OUTPUT_FORMAT")
            if variable:
                self.duck.execute(f"SET VARIABLE {variable} = {quote(time_formats.written(str(format_)))}")
