"""Turns a query request into its JSON answer: reads the binds, runs the statement, writes the rows as Arrow or JSON.

{sqlText, bindings, describeOnly} ──run──▶ Executor ──▶ {rowtype, rowsetBase64 | rowset, queryId, …}

Formats are those that snowflake-connector-python 4.8 sends and reads.
"""

from __future__ import annotations

from typing import Any

from flows.embedded.warehouse.execute.executor import Executor
from flows.embedded.warehouse.protocol import bindings
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.text.grammar import Words
from flows.embedded.warehouse.translate.wire import encode, row_type

IN_PROGRESS, DETACHED = "333333", "333334"  # codes in snowflake-connector-python's network.py

# The statement type ids by which clients tell what an answer is: SFStatementType in snowflake-jdbc, STATEMENT_TYPE_ID_DML_SET in
# snowflake-connector-python's cursor.py.
SELECT, MULTITABLE_INSERT = 0x1000, 0x3500
_TYPES = {
    "SELECT": SELECT, "WITH": SELECT, "INSERT": 0x3100, "UPDATE": 0x3200, "DELETE": 0x3300, "MERGE": 0x3400, "COPY": 0x3600,
    "USE": 0x4300, "SHOW": 0x4400, "DESC": 0x4500, "DESCRIBE": 0x4500, "BEGIN": 0x5000, "START": 0x5000, "COMMIT": 0x5000,
    "ROLLBACK": 0x5000, "CREATE": 0x6000, "ALTER": 0x6000, "DROP": 0x6000, "TRUNCATE": 0x6000,
}  # fmt: skip
_CHANGES_ROWS = frozenset({0x3100, 0x3200, 0x3300, 0x3400, MULTITABLE_INSERT})


def type_id(sql: str) -> int:
    """Return the type id of a statement by its first words; 0 for those whose type clients do not use."""
    words = Words(sql)
    if words.sees("INSERT") and words.upper(1) in ("ALL", "FIRST"):
        return MULTITABLE_INSERT
    return _TYPES.get(words.upper(), 0)


def run(conn: WarehouseConnection, executor: Executor, sql: str, body: dict[str, Any]) -> dict[str, Any]:
    """Run one statement of a query request, or only describe it, and put its result on the wire."""
    params, batch = bindings.read(body.get("bindings"))
    kind = type_id(sql)
    if body.get("describeOnly"):
        described = executor.describe_only(sql)
        if described is not None:
            return _described(conn, executor, sql, kind, described)
    total = 0
    if batch is not None:
        total = executor.execute_batch(sql, batch)
    else:
        executor.execute(sql, params)
    rowtype = row_type(executor.described)
    rows = executor.rows
    count = rows.num_rows if rows is not None else 0
    result: dict[str, Any]
    if batch is not None:
        result, count = {"queryResultFormat": "json", "rowset": [[str(total)]]}, 1
    elif kind in _CHANGES_ROWS and rows is not None:
        # clients take the affected rows from `rowset`
        values = zip(*[c.to_pylist() for c in rows.columns], strict=True)
        result = {
            "queryResultFormat": "json",
            "rowset": [[None if v is None else str(v) for v in row] for row in values],
        }
    else:
        result = {"queryResultFormat": "arrow", "rowsetBase64": encode(rows, rowtype) if count else ""}
    data = {
        "parameters": [{"name": "TIMEZONE", "value": conn.parameter("TIMEZONE")}],
        "rowtype": rowtype, "total": count, "returned": count, "queryId": executor.query_id, "statementTypeId": kind,
        **_where(conn), **result,
    }  # fmt: skip
    return {"data": data, "code": None, "message": None, "success": True}


def _where(conn: WarehouseConnection) -> dict[str, Any]:
    return {
        "finalDatabaseName": conn.database, "finalSchemaName": conn.schema, "finalWarehouseName": conn.warehouse,
        "finalRoleName": conn.role,
    }  # fmt: skip


def _described(conn: WarehouseConnection, executor: Executor, sql: str, kind: int, described: Any) -> dict[str, Any]:
    empty: dict[str, Any] = (
        {"queryResultFormat": "arrow", "rowsetBase64": ""}
        if kind == SELECT
        else {"queryResultFormat": "json", "rowset": []}
    )
    data = {
        "rowtype": row_type(described), "total": 0, "returned": 0, "queryId": executor.query_id, "statementTypeId": kind,
        "numberOfBinds": executor.binds, "arrayBindSupported": Words(sql).sees("INSERT"), **_where(conn), **empty,
    }  # fmt: skip
    return {"data": data, "code": None, "message": None, "success": True}


def in_progress(query_id: str, code: str) -> dict[str, Any]:
    """Return the answer that makes a client ask again; `code` is IN_PROGRESS or DETACHED."""
    data = {"queryId": query_id, "getResultUrl": f"/queries/{query_id}/result", "queryAbortsAfterSecs": 300}
    message = "Query execution in progress."
    return {"data": data, "code": code, "message": message, "success": True}


def failure(code: str, sqlstate: str, message: str, query_id: str | None) -> dict[str, Any]:
    """Return the answer for a failed statement, sent with HTTP 200."""
    data = {"errorCode": code, "sqlState": sqlstate, "queryId": query_id, "internalError": False, "line": -1, "pos": -1}
    return {"data": data, "code": code, "message": message, "success": False}
