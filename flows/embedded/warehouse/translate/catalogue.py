"""What a translated statement finds in DuckDB: fakesnow's views and macros, and the macros that it lacks, as SQL.

Engine ──at its start, and for each database──▶ CREATE OR REPLACE VIEW, MACRO …
"""

from __future__ import annotations

from fakesnow import info_schema, macros
from fakesnow.transforms import show

from flows.embedded.warehouse.storage.engine import Catalogue
from flows.embedded.warehouse.text.grammar import ident


def catalogue() -> Catalogue:
    """fakesnow's and ours. Views are remade at each start, so that a newer fakesnow's take the place of those in the file."""
    return Catalogue(
        account=(_remade(info_schema.fs_global_creation_sql()), _remade(show.fs_global_creation_sql())),
        database=lambda name: _remade(info_schema.per_db_creation_sql(name)),
        macros=_macros,
    )


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
