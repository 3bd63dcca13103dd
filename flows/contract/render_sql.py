"""Renders the SQL that creates and loads a RAW table: CREATE TABLE, ALTER TABLE and COPY INTO for `RAW.OLIST_ORDERS`.

The templates are under `sql/raw/`; this module fills them in. It runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flows.batch_ids import check_batch_id
from flows.contract.dialect import Dialect
from flows.contract.fit import Layout, fit
from flows.contract.model import Column, Source, Table
from flows.contract.sql import ident, template
from flows.errors import ConfigurationError

# https://docs.snowflake.com/en/sql-reference/sql/copy-into-table: FILES takes at most this many names.
MOST_FILES = 1000

# It is used unquoted in the stage's path, so no other characters are allowed.
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*")


def create_table(table: Table, database: str, schema: str) -> str:
    """Render CREATE TABLE IF NOT EXISTS for a file's RAW table: VARCHAR data columns in file order, then the audit columns.

    Raises:
        ConfigurationError: a name is not a valid unquoted identifier.
    """
    return template(
        "raw/create_table.sql",
        database=database,
        schema=schema,
        table=table.raw_name,
        columns=_commented(table.columns),
        comment=f"{table.business_name}: {table.description}",
    )


def add_columns(table: Table, missing: Sequence[Column], database: str, schema: str) -> str:
    """Render ALTER TABLE … ADD COLUMN IF NOT EXISTS for columns added to the contract; they follow the audit columns.

    Raises:
        ConfigurationError: nothing is missing, or a name is not a valid unquoted identifier.
    """
    if not missing:
        raise ConfigurationError(f"{table.raw_name}: no column is missing, so there is nothing to add")
    return template(
        "raw/add_columns.sql", database=database, schema=schema, table=table.raw_name, columns=_commented(missing)
    )


def add_new_columns(table: Table, new: Mapping[str, str], database: str, schema: str) -> str:
    """Render `add_columns` for a file's columns that are not in the contract: RAW column → header. Their comments name the file.

    Raises:
        ConfigurationError: a name is not a valid unquoted identifier.
    """
    columns = [{"name": name, "comment": f"Came with {table.file} as {header}"} for name, header in new.items()]
    return template("raw/add_columns.sql", database=database, schema=schema, table=table.raw_name, columns=columns)


def copy_into(
    source: Source,
    table: Table,
    database: str,
    batch_id: str,
    files: Sequence[str],
    force: bool = False,
    layout: Layout | None = None,
    dialect: Dialect | None = None,
) -> str:
    """Render COPY INTO for the `files` (names, not keys) of one batch of a table; it also fills the audit columns.

    Reads `@<stage>/<file stem>/<batch_id>/`; the stage's URL ends in `raw/<source>/`. `force`: load files even if COPY's load
    history has them. `layout` and `dialect`: the positions of the columns in these files, and how they are parsed; by default
    the contract's. A column that is not in the layout is NULL.

    Raises:
        ConfigurationError: the batch id is not YYYYMMDD_HHMMSS, or `files` is empty, too long, or has a name twice.
    """
    check_batch_id(batch_id)
    if not _FOLDER.fullmatch(table.stem):
        raise ConfigurationError(f"{table.name}: file name {table.file!r}, expected letters, digits and _ before .csv")
    if not 1 <= len(files) <= MOST_FILES or len(set(files)) != len(files):
        raise ConfigurationError(
            f"{table.raw_name}: got {len(files)} file names, {len(set(files))} of them distinct; expected 1 to {MOST_FILES} "
            "for one COPY, each once; load the rest as another batch"
        )
    file_format = (dialect or table.dialect).file_format(source.file_format)
    return template(
        "raw/copy_into.sql",
        database=database,
        schema=source.schema,
        table=table.raw_name,
        columns=[{"name": name, "position": n} for name, n in (layout or fit(table, table.header)).positions.items()],
        stage=source.stage,
        folder=table.stem,
        batch_id=batch_id,
        files=files,
        force=force,
        file_format=f"{ident(database)}.{ident(source.schema)}.{ident(file_format)}",
    )


def _commented(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [{"name": c.name, "comment": f"{c.business_name}: {c.description}"} for c in columns]
