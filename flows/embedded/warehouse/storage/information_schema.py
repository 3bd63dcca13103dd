"""INFORMATION_SCHEMA.TABLES, VIEWS and SCHEMATA: DuckDB's catalogue + the account's owners, times and comments ──▶ a view each.

https://docs.snowflake.com/en/sql-reference/info-schema/tables
"""

from __future__ import annotations

from flows.embedded.warehouse.text.grammar import quote, quote_name


def _yes(prop: str) -> str:
    return f"CASE WHEN json_extract_string(o.properties, '$.{prop}') = 'true' THEN 'YES' ELSE 'NO' END"


def information_schema_sql(database: str) -> str:
    """Return the SQL of a database's TABLES, VIEWS and SCHEMATA with owners, times and comments, which fakesnow's views lack.

    The views read the account's tables in _fs_global, so they are right for every session and after a restart.
    """
    name, home = quote(database), f"{quote_name(database)}._fs_information_schema"
    joined = f"""
        FROM ({{source}}) t
        LEFT JOIN _fs_global.account.objects o
            ON o.kind = t.kind AND o.name = {name} || '.' || t.schema_name || '.' || t.table_name
        LEFT JOIN _fs_global.account.changes c ON c.name = {name} || '.' || t.schema_name || '.' || t.table_name
        WHERE t.schema_name NOT IN ('main', '_fs_information_schema')
    """
    altered = (
        "greatest(o.created_on, c.changed_on, TRY_CAST(json_extract_string(o.properties, '$.altered') AS TIMESTAMPTZ))"
    )
    views = (
        "SELECT schema_name, view_name AS table_name, sql, 'VIEW' AS kind FROM duckdb_views() "
        f"WHERE database_name = {name} AND NOT internal"
    )
    source = (
        "SELECT schema_name, table_name, estimated_size, 'TABLE' AS kind FROM duckdb_tables() "
        f"WHERE database_name = {name} AND NOT temporary "
        f"UNION ALL SELECT schema_name, table_name, NULL, kind FROM ({views})"
    )
    return f"""
        CREATE OR REPLACE VIEW {home}._fs_tables AS SELECT
            {name} AS TABLE_CATALOG, t.schema_name AS TABLE_SCHEMA, t.table_name AS TABLE_NAME, coalesce(o.owner,
            'ACCOUNTADMIN') AS TABLE_OWNER,
            CASE t.kind WHEN 'TABLE' THEN 'BASE TABLE' ELSE 'VIEW' END AS TABLE_TYPE,
            CASE WHEN t.kind = 'TABLE' THEN {_yes("transient")} END AS IS_TRANSIENT,
            json_extract_string(o.properties, '$.cluster_by') AS CLUSTERING_KEY,
            t.estimated_size::BIGINT AS ROW_COUNT, CASE t.kind WHEN 'TABLE' THEN 0::BIGINT END AS BYTES,
            CASE t.kind WHEN 'TABLE' THEN
                coalesce(TRY_CAST(json_extract_string(o.properties, '$.retention') AS BIGINT), 1) END AS RETENTION_TIME,
            NULL::VARCHAR AS SELF_REFERENCING_COLUMN_NAME, NULL::VARCHAR AS REFERENCE_GENERATION,
            NULL::VARCHAR AS USER_DEFINED_TYPE_CATALOG, NULL::VARCHAR AS USER_DEFINED_TYPE_SCHEMA,
            NULL::VARCHAR AS USER_DEFINED_TYPE_NAME,
            'YES' AS IS_INSERTABLE_INTO, 'YES' AS IS_TYPED, NULL::VARCHAR AS COMMIT_ACTION,
            o.created_on AS CREATED, {altered} AS LAST_ALTERED,
            greatest(o.created_on, TRY_CAST(json_extract_string(o.properties, '$.altered') AS TIMESTAMPTZ)) AS LAST_DDL,
            coalesce(o.owner, 'ACCOUNTADMIN') AS LAST_DDL_BY, 'NO' AS AUTO_CLUSTERING_ON, nullif(o.comment, '') AS COMMENT,
            'NO' AS IS_TEMPORARY, 'NO' AS IS_ICEBERG, 'NO' AS IS_DYNAMIC, 'NO' AS IS_IMMUTABLE, 'NO' AS IS_HYBRID
        {joined.format(source=source)};
        CREATE OR REPLACE VIEW {home}._fs_views AS SELECT
            {name} AS TABLE_CATALOG, t.schema_name AS TABLE_SCHEMA, t.table_name AS TABLE_NAME, coalesce(o.owner,
            'ACCOUNTADMIN') AS TABLE_OWNER,
            coalesce(json_extract_string(o.properties, '$.statement[0]'), t.sql) AS VIEW_DEFINITION,
            'NONE' AS CHECK_OPTION, 'NO' AS IS_UPDATABLE, 'NO' AS INSERTABLE_INTO,
            CASE WHEN json_extract_string(o.properties, '$.secure') = 'true' THEN 'YES' ELSE 'NO' END AS IS_SECURE,
            o.created_on AS CREATED, {altered} AS LAST_ALTERED, {altered} AS LAST_DDL,
            coalesce(o.owner, 'ACCOUNTADMIN') AS LAST_DDL_BY, nullif(o.comment, '') AS COMMENT
        {joined.format(source=views)};
        CREATE OR REPLACE VIEW {home}._fs_schemata AS SELECT
            {name} AS CATALOG_NAME,
            CASE WHEN s.schema_name = '_fs_information_schema' THEN 'INFORMATION_SCHEMA' ELSE s.schema_name END AS SCHEMA_NAME,
            coalesce(o.owner, 'ACCOUNTADMIN') AS SCHEMA_OWNER, {_yes("transient")} AS IS_TRANSIENT,
            {_yes("managed")} AS IS_MANAGED_ACCESS, 1 AS RETENTION_TIME,
            NULL::VARCHAR AS DEFAULT_CHARACTER_SET_CATALOG, NULL::VARCHAR AS DEFAULT_CHARACTER_SET_SCHEMA,
            NULL::VARCHAR AS DEFAULT_CHARACTER_SET_NAME, NULL::VARCHAR AS SQL_PATH, o.created_on AS CREATED,
            o.created_on AS LAST_ALTERED,
            nullif(o.comment, '') AS COMMENT, 'UNSET' AS REPLICABLE_WITH_FAILOVER_GROUPS, 'ROLE' AS OWNER_ROLE_TYPE
        FROM duckdb_schemas() s
        LEFT JOIN _fs_global.account.objects o ON o.kind = 'SCHEMA' AND o.name = {name} || '.' || s.schema_name
        WHERE s.database_name = {name} AND s.schema_name NOT IN ('main', 'pg_catalog', 'information_schema')
    """
