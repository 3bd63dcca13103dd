"""One Snowflake session: who runs it, where it stands, what it has set, whether a transaction is open.

login ──Engine.connect──▶ WarehouseConnection ──cursor()──▶ WarehouseCursor; state lives as long as the session's token

Roles and privileges: https://docs.snowflake.com/en/user-guide/security-access-control-overview.

One class: whatever lives as long as a session.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb
from fakesnow.conn import FakeSnowflakeConnection
from snowflake.connector.cursor import DictCursor, SnowflakeCursor

from flows.embedded.warehouse import errors
from flows.embedded.warehouse.account import ACCOUNTADMIN, AccountObject
from flows.embedded.warehouse.grammar import ident, normalise, quote, split_name
from flows.embedded.warehouse.parameters import SESSION_DEFAULTS, check_parameter
from flows.embedded.warehouse.session import SessionContext, StageInfo

if TYPE_CHECKING:
    from flows.embedded.warehouse.cursor import WarehouseCursor
    from flows.embedded.warehouse.engine import Engine
    from flows.embedded.warehouse.running import Statement

logger = logging.getLogger(__name__)


class WarehouseConnection(FakeSnowflakeConnection):  # type: ignore[misc]
    """fakesnow's connection with a user, a role, a warehouse, session parameters and real transaction boundaries.

    `lock` is held while one of its statements runs: a session runs its statements one after the other.
    """

    database: str | None
    _schema: str | None

    def __init__(
        self,
        engine: Engine,
        duck: duckdb.DuckDBPyConnection,
        database: str | None = None,
        schema: str | None = None,
        *,
        user: str = "EMBEDDED",
        role: str | None = None,
        warehouse: str | None = None,
        autocommit: bool = True,
        parameters: Mapping[str, object] | None = None,
        nop_regexes: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            duck,
            engine.results,
            create_database=False,
            create_schema=False,
            db_path=engine.directory,
            nop_regexes=nop_regexes,
            **kwargs,
        )
        self.engine = engine
        self.account = engine.account
        self.lock = threading.RLock()
        self.session_id = secrets.randbelow(2**53)
        self.user = user
        self.role = role or ACCOUNTADMIN
        self.warehouse: str | None = None
        self.secondary_roles = "NONE"
        self.parameters: dict[str, object] = {}
        self.autocommit_on = autocommit
        self.in_transaction = False
        self.wrote = False
        self.lost = False  # DuckDB has given the open transaction up
        self.changed: set[str] = set()
        self.transaction_id = 0
        self.client = "PythonConnector"
        self.answered: tuple[str, dict[str, Any]] = ("", {})  # request id of the last statement, and what it was told
        self.temporary_tables: dict[tuple[str, str, str], str] = {}
        self.last_query_ids: list[str] = []
        self.last_used = datetime.now(UTC)
        self.last_statement = time.monotonic()
        self.statement: Statement | None = None  # the one that runs
        self.sockets: set[tuple[str, int]] = set()  # (host, port) of the client, one per socket
        self.keeps_sockets = False
        self.aborted = 0  # the transaction that was taken away while it was idle
        for name, value in (parameters or {}).items():
            if name.upper() in SESSION_DEFAULTS:
                self.set_parameter(name, value)
        if warehouse and self.account.find("WAREHOUSE", normalise(warehouse)):
            self.warehouse = normalise(warehouse)
        if database and engine.create_on_connect and normalise(database) not in engine.databases():
            engine.create_database(normalise(database))
        if database and normalise(database) in engine.databases() and self.may_see("DATABASE", normalise(database)):
            self.use_database(normalise(database))
            if schema and engine.create_on_connect and normalise(schema) not in [*engine.schemas(normalise(database))]:
                duck.execute(f"CREATE SCHEMA IF NOT EXISTS {ident(normalise(database))}.{ident(normalise(schema))}")
            if schema and self.has_schema(normalise(database), normalise(schema)):
                self.use_schema(normalise(database), normalise(schema))

    # ---- what fakesnow calls

    @property
    def _autocommit(self) -> bool:
        return True  # transaction boundaries are the cursor's work; fakesnow's own bookkeeping stays out of it

    @_autocommit.setter
    def _autocommit(self, mode: bool) -> None:
        self.autocommit_on = mode

    def autocommit(self, mode: bool) -> None:
        """Turn autocommit on or off; what is open commits (https://docs.snowflake.com/en/sql-reference/transactions#autocommit)."""
        self.end_transaction("COMMIT")
        self.autocommit_on = mode

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> WarehouseCursor:
        """A cursor on this session."""
        from flows.embedded.warehouse.cursor import WarehouseCursor

        return WarehouseCursor(self, self._duck_conn, use_dict_result=cursor_class == DictCursor)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if not self.autocommit_on:
            self.end_transaction("ROLLBACK" if exc_type else "COMMIT")
        self.close()

    def close(self, retry: bool = True) -> None:
        """End the session; what it has not committed is rolled back."""
        with self.lock:
            if self._is_closed:
                return
            try:
                self.end_transaction("ROLLBACK")
            finally:
                super().close(retry)

    # ---- transactions

    def begin(self) -> None:
        """Open a transaction; when one is open already it goes on."""
        if not self.in_transaction:
            self._duck_conn.execute("BEGIN TRANSACTION")
            self.in_transaction, self.wrote = True, False
            self.transaction_id = time.time_ns()

    def end_transaction(self, verb: str) -> None:
        """COMMIT or ROLLBACK what is open; a COMMIT that fails has rolled back."""
        if not self.in_transaction:
            return
        self.in_transaction = False
        lost, self.lost = self.lost, False
        try:
            if lost and verb == "COMMIT":  # DuckDB would answer that all is well
                raise duckdb.TransactionException(
                    "its rows were lost when a statement in it failed; nothing is committed"
                )
            with self.statement.uninterrupted() if self.statement else contextlib.nullcontext():
                self._duck_conn.execute(verb)
        except duckdb.Error:
            with contextlib.suppress(duckdb.TransactionException):  # a failed COMMIT may have ended it already
                self._duck_conn.execute("ROLLBACK")
            self.changed.clear()
            raise
        finally:
            self.engine.locks.release(self.session_id)
        if verb == "COMMIT":
            self.flush_changes()
        self.changed.clear()

    def refresh_snapshot(self) -> None:
        """Let the next statement of an open transaction see what others have committed: READ COMMITTED
        (https://docs.snowflake.com/en/sql-reference/transactions#read-committed-isolation).

        DuckDB keeps one snapshot for a whole transaction; while nothing was written in it, a new one is the same to the user.
        """
        if self.in_transaction and not self.wrote:
            self._duck_conn.execute("ROLLBACK")
            self._duck_conn.execute("BEGIN TRANSACTION")

    def release_if_abandoned(self) -> None:
        """Roll back the open transaction when another session waits for it and its own client is gone, or has been idle for long
        (https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions)."""
        if not self.lock.acquire(blocking=False):
            return  # a statement runs
        try:
            idle = time.monotonic() - self.last_statement
            if self.in_transaction and (
                idle > self.engine.idle_transaction_seconds or not self.engine.client_lives(self)
            ):
                logger.warning(
                    "session %d: transaction %d rolled back after %.0f s without a statement, another session waits for it",
                    self.session_id, self.transaction_id, idle,
                )  # fmt: skip
                self.aborted = self.transaction_id
                self.end_transaction("ROLLBACK")
        finally:
            self.lock.release()

    def flush_changes(self) -> None:
        """Tell the account which tables have committed new rows."""
        if self.changed:
            self.account.changed(self.changed)
            self.changed.clear()

    # ---- namespace

    def has_schema(self, database: str, schema: str) -> bool:
        """Whether a schema is there, INFORMATION_SCHEMA included."""
        return schema == "INFORMATION_SCHEMA" or schema in self.engine.schemas(database)

    def use_database(self, database: str) -> None:
        """Make a database current, and its PUBLIC schema when it has one
        (https://docs.snowflake.com/en/sql-reference/sql/use-database)."""
        self.database, self.database_set = database, True
        if "PUBLIC" in self.engine.schemas(database):
            self.use_schema(database, "PUBLIC")
        else:
            self._schema, self.schema_set = None, False
            self._duck_conn.execute(f"SET schema = {quote(ident(database) + '.main')}")

    def use_schema(self, database: str, schema: str) -> None:
        """Make a schema current."""
        kept = "_FS_INFORMATION_SCHEMA" if schema == "INFORMATION_SCHEMA" else schema
        self._duck_conn.execute(f"SET schema = {quote(ident(database) + '.' + ident(kept))}")
        self.database, self.database_set = database, True
        self._schema, self.schema_set = kept, True

    def refresh_namespace(self) -> None:
        """Let go of a current database or schema that another session has dropped, so that DuckDB can go on."""
        if self.database and self.account.find("DATABASE", self.database) is None:
            self.database, self.database_set = None, False
            self._schema, self.schema_set = None, False
            self._duck_conn.execute("SET schema = 'memory.main'")
        elif self.database and self.schema and not self.has_schema(self.database, self.schema):
            self._schema, self.schema_set = None, False
            self._duck_conn.execute(f"SET schema = {quote(ident(self.database) + '.main')}")

    def qualify(self, parts: Sequence[str], command: str = "SELECT") -> tuple[str, str, str]:
        """(database, schema, name) for a name of one to three parts.

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
        """(database, schema) for a schema's name of one or two parts."""
        if len(parts) == 2:
            return parts[0], parts[1]
        if self.database is None:
            raise errors.no_current("database", command)
        return self.database, parts[0]

    def full_name(self, kind: str, parts: Sequence[str], command: str = "SELECT") -> str:
        """The registry's name for an object of `kind` called `parts` here."""
        from flows.embedded.warehouse.account import GLOBAL_KINDS

        if kind in GLOBAL_KINDS or kind == "ACCOUNT":
            return ".".join(parts)
        if kind == "SCHEMA":
            return ".".join(self.qualify_schema(parts, command))
        return ".".join(self.qualify(parts, command))

    # ---- access

    def allowed_roles(self) -> frozenset[str]:
        """The roles USE ROLE may name: a registered user's own; every role for a user that is not registered,
        who stands for whoever set up the embedded account."""
        if self.account.find("USER", self.user):
            return self.account.roles_of_user(self.user)
        return frozenset(role.name for role in self.account.all("ROLE"))

    def active_roles(self) -> frozenset[str]:
        """The current role and, with USE SECONDARY ROLES ALL, the user's other roles, each with what it holds."""
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
        """A session parameter's value: the session's, else the user's, else the account's, else Snowflake's default."""
        name = name.upper()
        if name in self.parameters:
            return self.parameters[name]
        for kind, owner in (("USER", self.user), ("PARAMETER", "ACCOUNT")):
            found = self.account.find(kind, owner)
            if found and name in found.properties:
                return found.properties[name]
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
                self._duck_conn.execute(f"SET TimeZone = {quote(str(value))}")
            except duckdb.Error:
                self.parameters.pop(name, None)
                raise errors.invalid_value(value, name) from None  # the cause is no statement of the user
        elif name == "AUTOCOMMIT":
            self.autocommit(bool(value))

    # ---- stages, file formats, COPY

    def find_file_format(self, name: str) -> AccountObject:
        """A named file format. Raises 002003 (02000)."""
        parts = split_name(name)
        full = ".".join(self.qualify(parts))
        found = self.account.find("FILE FORMAT", full)
        if found is None:
            raise errors.not_found("FILE FORMAT", ".".join(parts))
        self.require_use_of(*full.split(".", 2)[:2])
        self.require("USAGE", "FILE FORMAT", full)
        return found

    def find_stage(self, name: str) -> AccountObject:
        """A named stage. Raises 002003 (02000)."""
        parts = split_name(name)
        full = ".".join(self.qualify(parts))
        found = self.account.find("STAGE", full)
        if found is None:
            raise errors.not_found("STAGE", full)
        return found

    def file_format_options(self, name: str) -> Mapping[str, object]:
        """The options written on a named file format, TYPE included."""
        return dict(self.find_file_format(name).properties)

    def stage_info(self, name: str) -> StageInfo:
        """A stage as COPY needs it; the named file format on it is resolved and checked for USAGE."""
        found = self.find_stage(name)
        database, schema, stage = found.name.split(".", 2)
        self.require_use_of(database, schema)
        if found.properties.get("URL"):
            self.require("USAGE", "STAGE", found.name)
        else:
            self.require("READ", "STAGE", found.name)
        written = found.properties.get("FILE_FORMAT") or {}
        options: dict[str, object] = dict(written) if isinstance(written, Mapping) else {}
        if named := options.pop("FORMAT_NAME", None):
            options = {**self.file_format_options(str(named)), **options}
        url = str(found.properties.get("URL") or "")
        if not url:
            url = f"file://{self.engine.directory / 'stages'}/{database}/{schema}/{stage}/"
        return StageInfo(
            database, schema, stage, url if url.endswith("/") else url + "/", not url.startswith("file:"), options
        )

    def context(self, query_id: str, bindings: Sequence[object] | Mapping[str, object] | None = None) -> SessionContext:
        """What a COPY may know of this session."""
        return SessionContext(
            database=self.database,
            schema=self.schema,
            s3=self.engine.s3,
            stage=self.stage_info,
            file_format=self.file_format_options,
            query_id=query_id,
            bindings=bindings,
            role=self.role,
            user=self.user,
            check=self.statement.check if self.statement else lambda: None,
            timezone=str(self.parameter("TIMEZONE")),
            in_transaction=self.in_transaction,
        )
