"""The one DuckDB instance behind the embedded warehouse, and its files.

DIR/_fs_global.db (account objects) + DIR/databases/*.db ──ATTACH──▶ one instance ──cursor──▶ sessions

Each Snowflake database is a DuckDB file with its own write-ahead log, replayed at the next start, so a committed row
survives kill -9. A DuckDB transaction writes to one file only; the account's registry is therefore written on its
own connection, and DDL, which commits by itself on Snowflake too, never shares a transaction with rows.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from duckdb.func import SPECIAL

from flows.embedded.warehouse.account.account import Account
from flows.embedded.warehouse.account.first_users import FirstUsers
from flows.embedded.warehouse.account.objects import ACCOUNTADMIN, AccountObject
from flows.embedded.warehouse.storage import load_history
from flows.embedded.warehouse.storage.information_schema import information_schema_sql
from flows.embedded.warehouse.storage.s3 import S3Access
from flows.embedded.warehouse.text.errors import already_exists, unsupported
from flows.embedded.warehouse.text.grammar import quote, quote_name

# Rows that DuckDB compresses and writes together. It writes a full group into the file while a load runs, and the rest at COMMIT
# into the log, from where a checkpoint writes it again: with its default of 122,880, all rows of most tables were written twice.
# Files to RAW, 1.55 million rows, took 5.5 and 6.3 s in turns, the second with a checkpoint; with this size 5.3 s (2026-11-28).
ROW_GROUP = 30_720


@dataclass(frozen=True)
class Catalogue:
    """The views and macros that translated statements use, as SQL: the account's, and a database's by its name; and functions."""

    account: Sequence[str]
    database: Callable[[str], str]
    macros: Callable[[str], str]
    # Python functions: name, function, types of its parameters and of its result
    functions: Sequence[tuple[str, Callable[..., Any], list[Any], str]]


class Engine:
    """The embedded account: opens its files, creates and drops databases.

    Raises duckdb.IOException when another process has the files open (DuckDB locks them).
    """

    def __init__(
        self,
        directory: Path,
        catalogue: Catalogue,
        s3: S3Access | None = None,
        users: Path | None = None,
        memory_limit: str | None = None,
    ) -> None:
        self.directory = directory
        self.s3 = s3
        self.catalogue = catalogue
        # Two sessions that change the catalogue at once would make DuckDB refuse one of them; DDL takes turns instead.
        self.ddl_lock = threading.RLock()
        for folder in ("databases", "tmp"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
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
                # A checkpoint makes the COMMIT that triggers it wait for seconds; until then the rows are in the log.
                "checkpoint_threshold": "256MB",
                **({"memory_limit": memory_limit} if memory_limit else {}),
            },
        )
        self.duck.execute("SET GLOBAL TimeZone = 'UTC'")
        # dividing by zero is an error on Snowflake, not infinity (https://docs.snowflake.com/en/sql-reference/operators-arithmetic)
        self.duck.execute("SET GLOBAL ieee_floating_point_ops = false")
        for name, function, parameters, returns in catalogue.functions:
            self.duck.create_function(name, function, parameters, returns, null_handling=SPECIAL)
        # a statement that does not compile leaves its transaction usable; for what fails while it runs see `session.beside`
        self.duck.execute("SET GLOBAL default_transaction_invalidation_policy = 'SYNTACTIC_ERRORS_DO_NOT_INVALIDATE'")
        self.duck.execute(catalogue.macros("memory"))  # for sessions without a current database
        self.duck.execute(f"ATTACH {quote(str(directory / '_fs_global.db'))} AS _fs_global")
        for sql in catalogue.account:
            self.duck.execute(sql)
        self.account = Account(self.duck.cursor())
        # Without first users, only this process opens sessions.
        self.first_users = FirstUsers(users, self.account) if users else None
        self._lock_engine()
        self.parser = duckdb.connect(config={"lambda_syntax": "ENABLE_SINGLE_ARROW", "enable_external_access": "false"})
        for database in self.account.all("DATABASE"):
            self._attach(database.name, str(database.properties["file"]))

    def _lock_engine(self) -> None:
        """Restrict DuckDB for good, before the first statement: to the account's own files, a session's settings, no extension.

        https://duckdb.org/docs/stable/operations_manual/securing_duckdb/overview. Staged files are read by this package, not by
        SQL. A session's database, schema and time zone can still be set.
        """
        own = [str(self.directory / name) + "/" for name in ("databases", "tmp")]
        self.duck.execute(f"SET GLOBAL allowed_directories = [{', '.join(map(quote, own))}]")
        self.duck.execute("SET GLOBAL enable_external_access = false")
        self.duck.execute("SET GLOBAL allowed_configs = ['TimeZone', 'schema', 'search_path']")
        self.duck.execute("SET GLOBAL lock_configuration = true")

    def roles_for(self, user: str) -> frozenset[str]:
        """Return the roles that a user may take on: every role for the administrator, and for a user that the account does not
        know, which is this process itself."""
        if self.account.find("USER", user) and not (self.first_users and user == self.first_users.administrator):
            return self.account.roles_of_user(user)
        return frozenset(role.name for role in self.account.all("ROLE"))

    # ---- databases

    def databases(self) -> list[str]:
        """Return the names of all databases, sorted."""
        return [d.name for d in self.account.all("DATABASE")]

    def schemas(self, database: str) -> list[str]:
        """Return the schemas of a database without DuckDB's and fakesnow's internal ones, sorted."""
        with self.duck.cursor() as duck:
            rows = duck.execute(
                "SELECT schema_name FROM duckdb_schemas() WHERE database_name = ? AND NOT internal "
                "AND schema_name NOT IN ('main', '_fs_information_schema') ORDER BY 1",
                [database],
            ).fetchall()
        return [name for (name,) in rows]

    def create_database(self, name: str, owner: str = ACCOUNTADMIN, comment: str = "", transient: bool = False) -> None:
        """Create and attach an empty database with its PUBLIC schema
        (https://docs.snowflake.com/en/sql-reference/sql/create-database#general-usage-notes)."""
        if not re.fullmatch(r"[A-Za-z_][\w$]*", name):
            raise unsupported(f"database name {name!r}")
        if name.upper() in ("MEMORY", "SYSTEM", "TEMP", "_FS_GLOBAL") or self.account.find("DATABASE", name):
            raise already_exists(name)
        file = f"{name}-{secrets.token_hex(4)}.db"
        self._attach(name, file)
        with self.duck.cursor() as duck:
            duck.execute(f'CREATE SCHEMA IF NOT EXISTS {quote_name(name)}."PUBLIC"')
        self.account.create(
            AccountObject("DATABASE", name, owner, comment, properties={"file": file, "transient": transient})
        )
        self.account.create(AccountObject("SCHEMA", f"{name}.PUBLIC", owner))

    def drop_database(self, name: str) -> None:
        """Drop a database and delete its files."""
        item = self.account.find("DATABASE", name)
        if item is None:
            return
        self.account.drop("DATABASE", name)
        with self.duck.cursor() as duck:
            duck.execute(f"DETACH {quote_name(name)}")
        path = self.directory / "databases" / str(item.properties["file"])
        for file in (path, path.with_name(path.name + ".wal")):
            file.unlink(missing_ok=True)

    def _attach(self, name: str, file: str) -> None:
        path = self.directory / "databases" / file
        with self.duck.cursor() as duck:
            duck.execute(f"ATTACH {quote(str(path))} AS {quote_name(name)} (ROW_GROUP_SIZE {ROW_GROUP})")
            duck.execute(self.catalogue.database(name))
            duck.execute(self.catalogue.macros(name))
            duck.execute(information_schema_sql(name))
            load_history.install(duck, name)

    def close(self) -> None:
        """Write the logs into the files and close them."""
        with self.duck.cursor() as duck:
            for name in ("_fs_global", *self.databases()):
                try:
                    duck.execute(f"CHECKPOINT {quote_name(name)}")
                except duckdb.Error:  # an open transaction: the log stays, and is replayed at the next start
                    continue
        self.duck.close()
        self.parser.close()
