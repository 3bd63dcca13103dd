"""The SQL of the views and macros that translated statements use in DuckDB: fakesnow's, and the macros that it lacks.

Engine ──at its start, and for each database──▶ CREATE OR REPLACE VIEW, MACRO …
"""

from __future__ import annotations

from fakesnow import info_schema
from fakesnow import macros as fakesnow_macros
from fakesnow.transforms import show

from flows.embedded.warehouse.storage.engine import Catalogue
from flows.embedded.warehouse.text.errors import RAISED
from flows.embedded.warehouse.text.grammar import quote_name
from flows.embedded.warehouse.translate import macros, native, types


def catalogue() -> Catalogue:
    """Collect fakesnow's and ours. Views are created again at each start: those of a newer fakesnow replace those in the file."""
    return Catalogue(
        account=(
            _remade(info_schema.fs_global_creation_sql()),
            _numbered(_nullable(_remade(show.fs_global_creation_sql()))),
        ),
        database=lambda name: _defaults_worded(_remade(info_schema.per_db_creation_sql(name))),
        macros=_macros,
        functions=[(f.name, f.run, list(f.parameters), f.returns) for f in native.FUNCTIONS],
    )


def _macros(catalog: str) -> str:
    """Return the SQL of a database's macros: fakesnow's, those of `macros`, and those that the inferred types call for."""
    home = quote_name(catalog)
    return f"""
        {fakesnow_macros.creation_sql(catalog)};
        {macros.creation_sql(catalog)}
        CREATE OR REPLACE MACRO {home}._cxm_truth(val) AS (
            CASE lower(val) WHEN 'on' THEN 'true' WHEN 'off' THEN 'false' ELSE val END
        );
        CREATE OR REPLACE MACRO {home}._cxm_int64(val) AS (CAST(val AS BIGINT));
        CREATE OR REPLACE MACRO {home}._cxm_int32(val) AS (CAST(val AS INTEGER));
        CREATE OR REPLACE MACRO {home}._cxm_varchar(val, size) AS (
            CASE WHEN length(val) > size
                THEN error('{RAISED}100078:22000:String ''' || val || ''' is too long and would be truncated')
            ELSE val END
        );
        CREATE OR REPLACE MACRO {home}._cxm_digits(val) AS (
            CASE WHEN contains(val, '_')
                THEN error('{RAISED}100038:22018:Numeric value ''' || val || ''' is not recognized')
            ELSE val END
        );
        CREATE OR REPLACE MACRO {home}._cxm_try_digits(val) AS (CASE WHEN NOT contains(val, '_') THEN val END);
        CREATE OR REPLACE MACRO {home}._cxm_no_exponent(val) AS (
            CASE WHEN NOT contains(val, 'e') AND NOT contains(val, 'E') THEN val END
        );
        CREATE OR REPLACE MACRO {home}._cxm_try_varchar(val, size) AS (CASE WHEN length(val) <= size THEN val END);
        {_division("_cxm_divide", "BIGINT", home)};
        {_division("_cxm_divide_wide", "HUGEINT", home)}
    """


def _division(name: str, whole: str, home: str) -> str:
    """Return a macro that divides whole numbers, rounds half away from zero and multiplies by `unit` (see `arithmetic`)."""
    return f"""
        CREATE OR REPLACE MACRO {home}.{name}(above, below, unit) AS (
            CAST(
                (CAST(above AS {whole}) * 2
                    + CASE WHEN (above < 0) = (below < 0) THEN CAST(below AS {whole}) ELSE -CAST(below AS {whole}) END)
                // (CAST(below AS {whole}) * 2)
            AS DECIMAL(38, 0)) * unit
        )
    """


def _remade(sql: str) -> str:
    """Make fakesnow's SQL replace its views, and show this package's types of timestamps, ARRAY and OBJECT."""
    zoned = "when columns.data_type='TIMESTAMP WITH TIME ZONE' then "
    made = sql.replace("create view if not exists", "create or replace view").replace(
        f"{zoned}'TIMESTAMP_TZ'",
        f"{zoned}'TIMESTAMP_LTZ' when contains(columns.data_type, 'CXM_UTC') then 'TIMESTAMP_TZ'",
    )
    kept = "ext_character_maximum_length"
    marks = " ".join(f"when {mark} then '{kind}'" for kind, mark in types.MARKS.items())
    made = made.replace("then 'VARIANT'", f"then case {kept} {marks} else 'VARIANT' end")
    for column in (kept, "ext_character_octet_length"):  # a mark is not a length
        made = made.replace(f"{column} as", f"case when columns.data_type='VARCHAR' then {column} end as")
    return made


# In the engine AUTOINCREMENT is a default, and CURRENT_TIMESTAMP has another name.
_IS_IDENTITY = "starts_with(lower(column_default), 'nextval(''_fs_seq_')"
_DEFAULT = (
    f"CASE WHEN {_IS_IDENTITY} THEN NULL WHEN column_default IN ('now()', 'get_current_timestamp()') "
    "THEN 'CURRENT_TIMESTAMP()' ELSE column_default END"
)


def _of_sequence(column: str) -> str:
    called = "'nextval(''' || sequence_name || ''')'"
    return f"(SELECT max({column})::VARCHAR FROM duckdb_sequences() WHERE lower(column_default) = lower({called}))"


def _empty(names: str, type_: str = "VARCHAR") -> str:
    return ", ".join(f"NULL::{type_} AS {name}" for name in names.split())


# The columns of https://docs.snowflake.com/en/sql-reference/info-schema/columns in that order; those that it calls not applicable
# are NULL. DATA_TYPE_ALIAS is missing, since a column's type is not stored as it was written.
_COLUMNS = f"""
    TABLE_CATALOG, TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, {_DEFAULT} AS COLUMN_DEFAULT, IS_NULLABLE, DATA_TYPE,
    CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_PRECISION_RADIX, NUMERIC_SCALE,
    {_empty("DATETIME_PRECISION", "BIGINT")}, {_empty("INTERVAL_TYPE")}, {_empty("INTERVAL_PRECISION", "BIGINT")},
    {_empty("CHARACTER_SET_CATALOG CHARACTER_SET_SCHEMA CHARACTER_SET_NAME COLLATION_CATALOG COLLATION_SCHEMA COLLATION_NAME")},
    {_empty("DOMAIN_CATALOG DOMAIN_SCHEMA DOMAIN_NAME UDT_CATALOG UDT_SCHEMA UDT_NAME SCOPE_CATALOG SCOPE_SCHEMA SCOPE_NAME")},
    {_empty("MAXIMUM_CARDINALITY", "BIGINT")}, {_empty("DTD_IDENTIFIER")}, 'NO' AS IS_SELF_REFERENCING,
    CASE WHEN {_IS_IDENTITY} THEN 'YES' ELSE 'NO' END AS IS_IDENTITY, {_empty("IDENTITY_GENERATION")},
    CASE WHEN {_IS_IDENTITY} THEN {_of_sequence("start_value")} END AS IDENTITY_START,
    CASE WHEN {_IS_IDENTITY} THEN {_of_sequence("increment_by")} END AS IDENTITY_INCREMENT,
    {_empty("IDENTITY_MAXIMUM IDENTITY_MINIMUM")}, IDENTITY_CYCLE AS IDENTITY_CYCLE, IDENTITY_ORDERED,
    {_empty("SCHEMA_EVOLUTION_RECORD")}, COMMENT
"""


def _defaults_worded(sql: str) -> str:
    """Give INFORMATION_SCHEMA.COLUMNS the documented columns, with an identity that is not a default
    (https://docs.snowflake.com/en/sql-reference/info-schema/columns#columns)."""
    columns = "select * from _fs_global._fs_information_schema._fs_columns where"
    return sql.replace(columns, f"select {_COLUMNS} from _fs_global._fs_information_schema._fs_columns where")


def _numbered(sql: str) -> str:
    """Add AUTOINCREMENT's numbers to SHOW COLUMNS (https://docs.snowflake.com/en/sql-reference/sql/show-columns#output)."""
    start, step = _of_sequence("start_value"), _of_sequence("increment_by")
    text = f"CASE WHEN {_IS_IDENTITY} THEN 'IDENTITY START ' || {start} || ' INCREMENT ' || {step} || ' NOORDER' ELSE '' END"
    return sql.replace("'' as \"autoincrement\"", f'{text} as "autoincrement"').replace(
        "COALESCE(column_default, '') as \"default\"", f"COALESCE({_DEFAULT}, '') as \"default\""
    )


def _nullable(sql: str) -> str:
    """Make a column's type in SHOW COLUMNS say whether it may be NULL."""
    either = "CASE WHEN is_nullable = 'YES' THEN 'true' ELSE 'false' END"
    return sql.replace('"nullable":true', f"\"nullable\":' || {either} || '")
