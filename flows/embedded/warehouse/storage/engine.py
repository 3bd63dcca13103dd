"""The one DuckDB instance behind the embedded warehouse, and its files.

DIR/_fs_global.db (stages, file formats, account objects) + DIR/databases/*.db ──ATTACH──▶ one instance ──cursor──▶ sessions

Each Snowflake database is a DuckDB file with its own write-ahead log, replayed at the next start, so a committed row
survives kill -9. A DuckDB transaction writes to one file only; what the account remembers is therefore written on a
connection of its own, and DDL, which commits by itself on Snowflake too, never shares a transaction with rows.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import duckdb
from fakesnow import info_schema, macros
from fakesnow.transforms import show, stage

from flows.embedded.warehouse.account.account import ACCOUNTADMIN, Account, AccountObject
from flows.embedded.warehouse.protocol.login import FirstUsers
from flows.embedded.warehouse.session.context import S3Access
from flows.embedded.warehouse.session.later_parts import Commits
from flows.embedded.warehouse.session.locks import TableLocks
from flows.embedded.warehouse.session.running import Running
from flows.embedded.warehouse.statements import relations
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.text.errors import already_exists, unsupported
from flows.embedded.warehouse.text.grammar import ident, quote

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

REGION = "AWS_US_EAST_1"
ACCOUNT_NAME = "CXM_EMBEDDED"
ORGANIZATION = "EMBEDDED"

RESULT_BYTES = 256 * 1024 * 1024
HISTORY_BYTES = 32 * 1024 * 1024
# https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions: idle for 5 minutes and in another's way
IDLE_TRANSACTION_SECONDS = 300.0


class ResultsCache(OrderedDict[str, Any]):
    """Results by query id for RESULT_SCAN and get_results_from_sfqid; the oldest go when they pass RESULT_BYTES.

    Snowflake keeps a result for 24 hours (https://docs.snowflake.com/en/user-guide/querying-persisted-results).
    """

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}
        self._guard = threading.Lock()

    def __setitem__(self, key: str, value: Any) -> None:
        with self._guard:
            super().__setitem__(key, value)
            self._sizes[key] = getattr(value[0], "nbytes", 0) + 1024
            while len(self) > 1 and sum(self._sizes.values()) > RESULT_BYTES:
                oldest = next(iter(self))
                super().__delitem__(oldest)
                del self._sizes[oldest]

    def move(self, old: str, new: str) -> None:
        """Keep a result under another id."""
        with self._guard:
            if old in self:
                value = super().pop(old)
                self._sizes[new] = self._sizes.pop(old)
                super().__setitem__(new, value)


@dataclass(frozen=True)
class QueryRecord:
    """One finished statement, as QUERY_HISTORY tells it (times in UTC)."""

    query_id: str
    query_text: str
    database_name: str | None
    schema_name: str | None
    query_type: str
    session_id: int
    user_name: str
    role_name: str
    warehouse_name: str | None
    query_tag: str
    execution_status: str
    error_code: str | None
    error_message: str | None
    start_time: datetime
    end_time: datetime
    rows_produced: int | None


class History:
    """The last statements of every session, in memory, bounded by HISTORY_BYTES of text."""

    def __init__(self) -> None:
        self._records: deque[QueryRecord] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, record: QueryRecord) -> None:
        """Append one, and let go of the oldest."""
        with self._lock:
            self._records.append(record)
            self._bytes += len(record.query_text) + 512
            while self._bytes > HISTORY_BYTES:
                self._bytes -= len(self._records.popleft().query_text) + 512

    def all(self) -> list[QueryRecord]:
        """Oldest first."""
        with self._lock:
            return list(self._records)


class Engine:
    """The embedded account: opens its files, makes connections, creates and drops databases.

    Raises duckdb.IOException when another process has the files open (DuckDB locks them).
    """

    def __init__(
        self,
        directory: Path,
        s3: S3Access | None = None,
        create_on_connect: bool = False,
        users: Path | None = None,
        idle_transaction_seconds: float = IDLE_TRANSACTION_SECONDS,
    ) -> None:
        self.directory = directory
        self.s3 = s3
        self.create_on_connect = create_on_connect
        self.results = ResultsCache()
        self.history = History()
        # Two sessions that change the catalogue at once would make DuckDB refuse one of them; DDL takes turns instead.
        self.ddl_lock = threading.RLock()
        self.locks = TableLocks()
        self.commits = Commits()
        self.running = Running()
        self.sessions: WeakValueDictionary[int, WarehouseConnection] = WeakValueDictionary()
        self.idle_transaction_seconds = idle_transaction_seconds
        # whether a session's client is still there; the server, which sees its sockets, knows better
        self.client_lives: Callable[[WarehouseConnection], bool] = lambda _: True
        for folder in ("databases", "tmp"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        self._own_internal_stages(directory / "stages")
        self.duck = duckdb.connect(
            ":memory:",
            config={
                "lambda_syntax": "ENABLE_SINGLE_ARROW",  # sqlglot writes DuckDB's older arrow lambdas
                "temp_directory": str(directory / "tmp"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "allow_community_extensions": "false",
                "allow_persistent_secrets": "false",
                "python_enable_replacements": "false",
                # A checkpoint makes the COMMIT that it falls on wait for seconds; what is not in it is in the log.
                "checkpoint_threshold": "256MB",
            },
        )
        self.duck.execute("SET GLOBAL TimeZone = 'UTC'")
        # dividing by zero is an error on Snowflake, not infinity (https://docs.snowflake.com/en/sql-reference/operators-arithmetic)
        self.duck.execute("SET GLOBAL ieee_floating_point_ops = false")
        self.duck.execute(_macros("memory"))  # for sessions without a current database
        self.duck.execute(f"ATTACH {quote(str(directory / '_fs_global.db'))} AS _fs_global")
        # Views are remade at each start, so that a newer fakesnow's take the place of those in the file.
        self.duck.execute(_remade(info_schema.fs_global_creation_sql()))
        self.duck.execute(_remade(show.fs_global_creation_sql()))
        self.account = Account(self.duck.cursor())
        self.first_users = (
            FirstUsers(users, self.account) if users else None
        )  # without, sessions come from this process only
        self._lock_engine()
        self.parser = duckdb.connect(config={"lambda_syntax": "ENABLE_SINGLE_ARROW", "enable_external_access": "false"})
        for database in self.account.all("DATABASE"):
            self._attach(database.name, str(database.properties["file"]))

    def _lock_engine(self) -> None:
        """Before the first statement, for good: no file but the account's own, no extension, no setting but those of a session.

        https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview. Staged files are read by this package, not by
        SQL, but for COPY of JSON and Parquet from an internal stage. Where a session stands and its time zone stay settings.
        """
        own = [str(self.directory / name) + "/" for name in ("databases", "stages", "tmp")]
        self.duck.execute(f"SET GLOBAL allowed_directories = [{', '.join(map(quote, own))}]")
        self.duck.execute("SET GLOBAL enable_external_access = false")
        self.duck.execute("SET GLOBAL allowed_configs = ['TimeZone', 'schema', 'search_path']")
        self.duck.execute("SET GLOBAL lock_configuration = true")

    @staticmethod
    def _own_internal_stages(home: Path) -> None:
        """Keep files of internal stages with the account instead of in fakesnow's temporary directory."""
        home.mkdir(parents=True, exist_ok=True)
        if str(home) != stage.LOCAL_BUCKET_PATH:
            before, stage.LOCAL_BUCKET_PATH = stage.LOCAL_BUCKET_PATH, str(home)
            if "fakesnow_bucket_" in before and os.path.isdir(before) and not os.listdir(before):  # noqa: PTH112, PTH208
                os.rmdir(before)  # noqa: PTH106

    def roles_for(self, user: str) -> frozenset[str]:
        """The roles that a user may take on: every one for the administrator and for whom the account does not know, which is
        this process itself."""
        if self.account.find("USER", user) and not (self.first_users and user == self.first_users.administrator):
            return self.account.roles_of_user(user)
        return frozenset(role.name for role in self.account.all("ROLE"))

    # ---- databases

    def databases(self) -> list[str]:
        """The names of all databases, sorted."""
        return [d.name for d in self.account.all("DATABASE")]

    def schemas(self, database: str) -> list[str]:
        """The schemas of a database without those that DuckDB and fakesnow keep for themselves, sorted."""
        with self.duck.cursor() as duck:
            rows = duck.execute(
                "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ? AND NOT internal "
                "AND schema_name NOT IN ('main', '_fs_information_schema') ORDER BY 1",
                [database],
            ).fetchall()
        return [name for (name,) in rows]

    def create_database(self, name: str, owner: str = ACCOUNTADMIN, comment: str = "", transient: bool = False) -> None:
        """Make and attach an empty database with its PUBLIC schema
        (https://docs.snowflake.com/en/sql-reference/sql/create-database#general-usage-notes)."""
        if not re.fullmatch(r"[A-Za-z_][\w$]*", name):
            raise unsupported(f"database name {name!r}")
        if name.upper() in ("MEMORY", "SYSTEM", "TEMP", "_FS_GLOBAL") or self.account.find("DATABASE", name):
            raise already_exists(name)
        file = f"{name}-{secrets.token_hex(4)}.db"
        self._attach(name, file)
        with self.duck.cursor() as duck:
            duck.execute(f'CREATE SCHEMA IF NOT EXISTS {ident(name)}."PUBLIC"')
        self.account.create(
            AccountObject("DATABASE", name, owner, comment, properties={"file": file, "transient": transient})
        )
        self.account.create(AccountObject("SCHEMA", f"{name}.PUBLIC", owner))

    def drop_database(self, name: str) -> None:
        """Forget a database and remove its file."""
        found = self.account.find("DATABASE", name)
        if found is None:
            return
        self.account.drop("DATABASE", name)
        with self.duck.cursor() as duck:
            for table in ("_fs_stages", "_fs_file_formats"):
                duck.execute(f"DELETE FROM _fs_global._fs_information_schema.{table} WHERE database_name = ?", [name])
            duck.execute(f"DETACH {ident(name)}")
        path = self.directory / "databases" / str(found.properties["file"])
        for file in (path, path.with_name(path.name + ".wal")):
            file.unlink(missing_ok=True)

    def _attach(self, name: str, file: str) -> None:
        path = self.directory / "databases" / file
        with self.duck.cursor() as duck:
            duck.execute(f"ATTACH {quote(str(path))} AS {ident(name)}")
            duck.execute(_remade(info_schema.per_db_creation_sql(name)))
            duck.execute(_macros(name))
            duck.execute(relations.information_schema_sql(name))
            load_history.install(duck, name)

    # ---- connections

    def connect(self, database: str | None = None, schema: str | None = None, **options: Any) -> Any:
        """A new session; `options` are those of `WarehouseConnection` (user, role, warehouse, autocommit, parameters)."""
        from flows.embedded.warehouse.session.connection import WarehouseConnection

        conn = WarehouseConnection(self, self.duck.cursor(), database, schema, **options)
        self.sessions[conn.session_id] = conn
        return conn

    def close(self) -> None:
        """Write the logs into the files and close them."""
        with self.duck.cursor() as duck:
            for name in ("_fs_global", *self.databases()):
                try:
                    duck.execute(f"CHECKPOINT {ident(name)}")
                except duckdb.Error:  # an open transaction: the log stays, and is replayed at the next start
                    continue
        self.duck.close()
        self.parser.close()


def _macros(catalog: str) -> str:
    """fakesnow's macros, and those that it lacks.

    A text that is no timestamp is NULL for TRY_CAST and TRY_TO_TIMESTAMP, digits alone are seconds since 1970
    (https://docs.snowflake.com/en/sql-reference/functions/try_to_timestamp). `_cxm_moment` makes of a TIME what strftime takes.
    """
    home = ident(catalog)
    return f"""
        {macros.creation_sql(catalog)}
        CREATE OR REPLACE MACRO {home}._cxm_try_timestamp(val) AS (
            CASE WHEN TRY_CAST(val AS BIGINT) IS NULL THEN TRY_CAST(val AS TIMESTAMP)
            ELSE to_timestamp(TRY_CAST(val AS BIGINT))::TIMESTAMP END
        );
        CREATE OR REPLACE MACRO {home}._cxm_moment(val) AS (
            CASE WHEN typeof(val) = 'TIME' THEN DATE '1970-01-01' + TRY_CAST(val::VARCHAR AS TIME) ELSE CAST(val AS TIMESTAMP) END
        )
    """


def _remade(sql: str) -> str:
    return sql.replace("create view if not exists", "create or replace view")
