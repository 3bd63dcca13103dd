"""One query request → the JSON that answers it: binds read, the statement run, its rows as Arrow or JSON.

{sqlText, bindings, describeOnly} ──run──▶ WarehouseCursor ──▶ {rowtype, rowsetBase64 | rowset, queryId, …}

Formats are those that snowflake-connector-python 4.8 sends and reads; Arrow encoding and PUT are fakesnow's.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fakesnow.converter import from_binding
from fakesnow.statement_type import DML_TYPE_IDS, SELECT, statement_type_id
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from flows.embedded.warehouse.translate.wire import encode, row_type

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

IN_PROGRESS, DETACHED = "333333", "333334"  # codes in snowflake-connector-python's network.py


def run(conn: WarehouseConnection, cur: Any, sql: str, body: dict[str, Any], base_url: str) -> dict[str, Any]:
    """Run one statement of a query request, or only describe it, and put its result on the wire."""
    params, batch = _bindings(body.get("bindings"))
    type_id = _type_id(sql)
    if body.get("describeOnly"):
        described = cur.describe_only(sql)
        if described is not None:
            return _described(conn, cur, sql, type_id, described)
    if batch is not None:
        total = cur.execute_batch(sql, batch)
    else:
        cur.execute(sql, binding_params=params, server=True)
    expression = cur._last_transformed
    if expression is not None and (upload := expression.args.get("put_stage_data")):
        if not params:
            upload["stageInfo"] = _upload_target(base_url, expression, upload)
        return {"data": {**upload, "queryId": cur.sfqid}, "code": None, "message": None, "success": True}
    rowtype = row_type(cur._describe_last_sql())
    arrow = cur._arrow_table
    count = arrow.num_rows if arrow is not None else 0
    result: dict[str, Any]
    if batch is not None:
        result, count = {"queryResultFormat": "json", "rowset": [[str(total)]]}, 1
    elif type_id in DML_TYPE_IDS and arrow is not None:
        # clients take the affected rows from `rowset`
        rows = zip(*[c.to_pylist() for c in arrow.columns], strict=True)
        result = {"queryResultFormat": "json", "rowset": [[None if v is None else str(v) for v in row] for row in rows]}
    else:
        encoded = encode(arrow, rowtype) if count else ""
        result = {"queryResultFormat": "arrow", "rowsetBase64": encoded}
    data = {
        "parameters": [{"name": "TIMEZONE", "value": conn.parameter("TIMEZONE")}],
        "rowtype": rowtype, "total": count, "returned": count, "queryId": cur.sfqid, "statementTypeId": type_id,
        **_where(conn), **result,
    }  # fmt: skip
    return {"data": data, "code": None, "message": None, "success": True}


def _where(conn: WarehouseConnection) -> dict[str, Any]:
    return {
        "finalDatabaseName": conn.database, "finalSchemaName": conn.schema, "finalWarehouseName": conn.warehouse,
        "finalRoleName": conn.role,
    }  # fmt: skip


def _described(conn: WarehouseConnection, cur: Any, sql: str, type_id: int, described: list[Any]) -> dict[str, Any]:
    empty: dict[str, Any] = (
        {"queryResultFormat": "arrow", "rowsetBase64": ""}
        if type_id == SELECT
        else {"queryResultFormat": "json", "rowset": []}
    )
    data = {
        "rowtype": row_type(described), "total": 0, "returned": 0, "queryId": cur.sfqid, "statementTypeId": type_id,
        "numberOfBinds": sum(1 for _ in parse_one(sql, read="snowflake").find_all(exp.Placeholder)),
        "arrayBindSupported": sql.lstrip()[:6].upper() == "INSERT", **_where(conn), **empty,
    }  # fmt: skip
    return {"data": data, "code": None, "message": None, "success": True}


def in_progress(query_id: str, code: str) -> dict[str, Any]:
    """What a client hears that has to ask again; `code`: IN_PROGRESS or DETACHED."""
    data = {"queryId": query_id, "getResultUrl": f"/queries/{query_id}/result", "queryAbortsAfterSecs": 300}
    message = "Query execution in progress."
    return {"data": data, "code": code, "message": message, "success": True}


def failure(code: str, sqlstate: str, message: str, query_id: str | None) -> dict[str, Any]:
    """What a client hears of a statement that failed: HTTP 200 all the same."""
    data = {"errorCode": code, "sqlState": sqlstate, "queryId": query_id, "internalError": False, "line": -1, "pos": -1}
    return {"data": data, "code": code, "message": message, "success": False}


def _type_id(sql: str) -> int:
    """The statement type id that clients tell DML by."""
    try:
        return int(statement_type_id(parse_one(sql, read="snowflake")))
    except (SqlglotError, ValueError, RecursionError):
        return 0


def _bindings(found: dict[str, Any] | None) -> tuple[Any, list[tuple[Any, ...]] | None]:
    """(values of one execution, or None; rows of an array binding, or None)."""
    if not found:
        return None, None
    if not all(k.isdigit() for k in found):
        return {name: _value(b) for name, b in found.items()}, None
    ordered = [found[str(i)] for i in range(1, len(found) + 1)]
    if any(isinstance(b["value"], list) for b in ordered):
        return None, list(zip(*[[_value({**b, "value": v}) for v in b["value"]] for b in ordered], strict=True))
    return tuple(_value(b) for b in ordered), None


def _value(binding: dict[str, Any]) -> Any:
    if binding.get("value") is None:
        return None
    value = from_binding(binding)
    if binding.get("type") == "TIMESTAMP_NTZ" and isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if binding.get("type") == "REAL":
        return float(str(value))
    return value


_UPLOAD_KEY = secrets.token_bytes(32)


def _signature(path: str) -> str:
    return hmac.new(_UPLOAD_KEY, path.encode(), "sha256").hexdigest()


def signed(path: str, signature: str) -> bool:
    """Whether this server has given out the address of an upload: whoever sends a file there shows no token of a session."""
    return hmac.compare_digest(_signature(path).encode(), signature.encode())


def _upload_target(base_url: str, expression: Any, upload: Any) -> dict[str, Any]:
    """Where PUT sends a file: to this server, by fakesnow's presigned-URL way."""
    import os.path
    from urllib.parse import quote, unquote

    from fakesnow.transforms import stage

    directory = upload["stageInfo"]["location"]
    name = os.path.basename(upload["src_locations"][0])  # noqa: PTH119
    path = quote(os.path.relpath(os.path.join(directory, name), stage.LOCAL_BUCKET_PATH))  # noqa: PTH118
    return {
        "locationType": "GCS",
        "location": f"{expression.args['put_stage_name']}/",
        "creds": {},
        "presignedUrl": f"{base_url}/fs_bucket/{path}?signature={_signature(unquote(path))}",
    }
