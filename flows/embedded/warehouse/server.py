"""Snowflake's wire protocol over one Engine: HTTP on loopback ──▶ WarehouseConnection, WarehouseCursor.

POST /session/v1/login-request, /queries/v1/query-request, /queries/v1/abort-request, /session (delete, heartbeat, token-request);
GET /queries/<id>/result, /monitoring/queries/<id>, /health. Formats are those that snowflake-connector-python 4.8 sends and
reads; Arrow encoding and PUT are fakesnow's.

A statement that fails answers HTTP 200 with `success: false`, code and SQL state; never HTTP 500,
which clients retry for minutes. One that runs longer than POLL_SECONDS, or was sent to run detached (`asyncExec`), answers "in
progress" with the address of its result, which clients ask until it is there.

One class, since the routes share the sessions, what runs, and the answers that are kept.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import secrets
import threading
from collections import OrderedDict
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fakesnow.converter import from_binding
from fakesnow.server import bucket_upload
from fakesnow.statement_type import DML_TYPE_IDS, SELECT, statement_type_id
from fakesnow.transforms import SERVER_VERSION
from snowflake.connector.errors import Error
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flows.embedded.warehouse import errors
from flows.embedded.warehouse.login import LoginRefusedError, log_in
from flows.embedded.warehouse.running import Statement, cancels
from flows.embedded.warehouse.wire import encode, row_type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from flows.embedded.warehouse.connection import WarehouseConnection
    from flows.embedded.warehouse.engine import Engine

logger = logging.getLogger(__name__)

IDLE = timedelta(
    hours=4
)  # https://docs.snowflake.com/en/user-guide/session-policies: an idle session ends after 4 hours
THREADS = 128
POLL_SECONDS = 45.0  # a Snowflake account's own time; clients give up reading an answer after 60 s
IN_PROGRESS, DETACHED = "333333", "333334"  # codes in snowflake-connector-python's network.py
KEPT_ANSWERS = 64

# What clients are told at login; https://docs.snowflake.com/en/sql-reference/parameters
_CLIENT_PARAMETERS = (
    "CLIENT_SESSION_KEEP_ALIVE", "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "CLIENT_PREFETCH_THREADS",
    "CLIENT_TELEMETRY_ENABLED", "DATE_OUTPUT_FORMAT", "TIMESTAMP_OUTPUT_FORMAT", "TIMESTAMP_NTZ_OUTPUT_FORMAT",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT", "TIMESTAMP_TZ_OUTPUT_FORMAT", "TIME_OUTPUT_FORMAT", "BINARY_OUTPUT_FORMAT", "TIMEZONE",
)  # fmt: skip


class Server:
    """The sessions of one engine and the routes that reach them."""

    def __init__(self, engine: Engine, poll_seconds: float = POLL_SECONDS) -> None:
        self.engine = engine
        self.poll_seconds = poll_seconds
        self.open_sockets: Callable[[], set[tuple[str, int]]] | None = None  # whoever runs the app can tell
        engine.client_lives = self._client_lives
        self._sessions: dict[str, WarehouseConnection] = {}
        self._answers: OrderedDict[str, asyncio.Task[dict[str, Any]]] = (
            OrderedDict()
        )  # by query id, running and detached ones
        self._lock = threading.Lock()

    def app(self) -> Starlette:
        """The ASGI application; shutting it down closes every session and the engine."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            import anyio.to_thread

            # each running statement keeps a thread; 32 sessions at once must not wait for one
            anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
            yield
            await run_in_threadpool(self.close)

        return Starlette(
            lifespan=lifespan,
            routes=[
                Route("/health", self.health),
                Route("/session/v1/login-request", self.login, methods=["POST"]),
                Route("/session/token-request", self.renew, methods=["POST"]),
                Route("/session/heartbeat", self.session, methods=["POST"]),
                Route("/session", self.session, methods=["POST"]),
                Route("/queries/v1/query-request", self.query, methods=["POST"]),
                Route("/queries/v1/abort-request", self.abort, methods=["POST"]),
                Route("/queries/{query_id}/abort-request", self.abort, methods=["POST"]),
                Route("/queries/{query_id}/result", self.result, methods=["GET"]),
                Route("/monitoring/queries/{query_id}", self.monitoring, methods=["GET"]),
                Route("/telemetry/send", self.ignored, methods=["POST"]),
                Route("/fs_bucket/{path:path}", bucket_upload, methods=["PUT"]),
            ],
        )

    def close(self) -> None:
        """Interrupt what runs, roll back what is open, write the files."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for conn in sessions:
            conn._duck_conn.interrupt()
            conn.close()
        self.engine.close()

    # ---- sessions

    async def health(self, _: Request) -> JSONResponse:
        """200 as soon as statements are taken."""
        return JSONResponse({"status": "ok", "sessions": len(self._sessions)})

    async def ignored(self, _: Request) -> JSONResponse:
        """Telemetry that a client sends all the same goes nowhere."""
        return JSONResponse({"success": True, "data": None, "code": None, "message": None})

    async def login(self, request: Request) -> JSONResponse:
        """Start a session."""
        data = (await _body(request)).get("data") or {}
        try:
            return await run_in_threadpool(self._log_in, data, dict(request.query_params))
        except LoginRefusedError as e:
            logger.info("login refused: %s", e.message)
            return JSONResponse({"data": {}, "code": e.code, "message": e.message, "success": False})

    def _log_in(self, data: dict[str, Any], query: dict[str, str]) -> JSONResponse:
        self._end_idle()
        found = log_in(self.engine, data, query)
        parameters = {k.upper(): v for k, v in (data.get("SESSION_PARAMETERS") or {}).items()}
        try:
            conn = self.engine.connect(
                found.database, found.schema, user=found.user, role=found.role, warehouse=found.warehouse,
                autocommit=str(parameters.pop("AUTOCOMMIT", True)).lower() != "false", parameters=parameters,
            )  # fmt: skip
        except Error as e:
            return JSONResponse({"data": {}, "code": f"{e.errno:06d}", "message": e.raw_msg, "success": False})
        conn.secondary_roles = str(data.get("SECONDARY_ROLES") or found.secondary_roles)
        conn.client = f"{data.get('CLIENT_APP_ID', 'Client')} {data.get('CLIENT_APP_VERSION', '')}".strip()
        token, master = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[token] = conn
        logger.info("session %d: user %s, role %s", conn.session_id, conn.user, conn.role)
        settings = [{"name": n, "value": conn.parameter(n)} for n in _CLIENT_PARAMETERS]
        settings.append({"name": "AUTOCOMMIT", "value": conn.autocommit_on})
        # 0 keeps a batch's values in the request instead of on a stage
        settings.append({"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0})
        return JSONResponse(
            {
                "data": {
                    "token": token,
                    "masterToken": master,
                    "validityInSeconds": 14400,
                    "masterValidityInSeconds": 14400,
                    "sessionId": conn.session_id,
                    "displayUserName": conn.user,
                    "serverVersion": SERVER_VERSION,
                    "parameters": settings,
                    "sessionInfo": {
                        "databaseName": conn.database,
                        "schemaName": conn.schema,
                        "warehouseName": conn.warehouse,
                        "roleName": conn.role,
                    },
                },
                "code": None,
                "message": None,
                "success": True,
            }
        )

    def _end_idle(self) -> None:
        limit = datetime.now(UTC) - IDLE
        with self._lock:
            idle = [(token, conn) for token, conn in self._sessions.items() if conn.last_used < limit]
            for token, _ in idle:
                del self._sessions[token]
        for _, conn in idle:
            conn.close()

    def _find(self, request: Request) -> WarehouseConnection | None:
        conn = self._sessions.get(_token(request))
        if conn is not None and request.client is not None:
            socket = (request.client.host, request.client.port)
            conn.keeps_sockets = conn.keeps_sockets or socket in conn.sockets
            conn.sockets.add(socket)
        return conn

    def _client_lives(self, conn: WarehouseConnection) -> bool:
        """False when every socket that the session's requests came over is closed: its client has ended without a word.

        A client that opens a socket for each request is never found gone this way.
        """
        if self.open_sockets is None or not conn.keeps_sockets:
            return True
        conn.sockets &= self.open_sockets()
        return bool(conn.sockets)

    async def renew(self, request: Request) -> JSONResponse:
        """A client whose token has run out asks for another; tokens here live as long as the session."""
        body = await _body(request)
        token = str(body.get("oldSessionToken") or "")
        if token not in self._sessions:
            return _gone()
        data = {
            "sessionToken": token,
            "validityInSecondsST": 14400,
            "masterToken": _token(request),
            "validityInSecondsMT": 14400,
        }
        return JSONResponse({"data": data, "code": None, "message": None, "success": True})

    async def session(self, request: Request) -> JSONResponse:
        """Heartbeat, or the end of a session (`?delete=true`)."""
        conn = self._find(request)
        if conn is None:
            return _gone()
        conn.last_used = datetime.now(UTC)
        if request.query_params.get("delete"):
            with self._lock:
                self._sessions.pop(_token(request), None)
            await run_in_threadpool(conn.close)
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def monitoring(self, request: Request) -> JSONResponse:
        """The state of one statement by its id; none for an id that nobody knows."""
        conn = self._find(request)
        if conn is None:
            return _gone()
        wanted = request.path_params["query_id"]
        if statement := self.engine.running.get(wanted):
            blocked = self.engine.locks.waits(statement.conn.session_id)
            queries = [{"id": wanted, "status": "BLOCKED" if blocked else "RUNNING"}]
        else:
            queries = [
                {
                    "id": r.query_id, "status": "SUCCESS" if r.execution_status == "SUCCESS" else "FAILED_WITH_ERROR",
                    "errorCode": r.error_code, "errorMessage": r.error_message,
                }
                for r in self.engine.history.all() if r.query_id == wanted
            ]  # fmt: skip
        return JSONResponse({"data": {"queries": queries}, "success": True})

    # ---- statements

    async def abort(self, request: Request) -> JSONResponse:
        """Cancel a statement of this session, by the request id that its client gave it or by its query id
        (https://docs.snowflake.com/en/user-guide/querying-cancel-statements)."""
        conn = self._find(request)
        if conn is None:
            return _gone()
        if query_id := request.path_params.get("query_id"):
            statement = self.engine.running.get(query_id)
            if statement is not None and statement.conn.user != conn.user:
                statement = None
        else:
            statement = self.engine.running.asked_as(str((await _body(request)).get("requestId") or ""), conn)
        if statement is not None:
            statement.stop(errors.canceled())
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def query(self, request: Request) -> JSONResponse:
        """Run one statement; the same request again, after a broken socket, joins the one that runs."""
        conn = self._find(request)
        if conn is None:
            return _gone()
        body = await _body(request)
        request_id = request.query_params.get("requestId") or request.query_params.get("request_guid") or ""
        statement = self.engine.running.asked_as(request_id, conn)
        if statement is None and conn.answered[0] == request_id != "":
            # A client that lost the answer sends the same request id again, and the statement does not run again,
            # https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements
            return JSONResponse(conn.answered[1])
        if statement is None or statement.query_id not in self._answers:
            statement = Statement(conn, request_id)
            self.engine.running.add(statement)
            base_url = f"{request.url.scheme}://{request.url.netloc}"
            self._answers[statement.query_id] = asyncio.create_task(self._answered(statement, body, base_url))
        if body.get("asyncExec"):
            return JSONResponse(_in_progress(statement.query_id, DETACHED))
        return await self._awaited(statement.query_id)

    async def result(self, request: Request) -> JSONResponse:
        """The answer of a statement that was in progress when its client last asked."""
        conn = self._find(request)
        if conn is None:
            return _gone()
        query_id = request.path_params["query_id"]
        if query_id in self._answers:
            return await self._awaited(query_id, keep=True)
        return JSONResponse(_failure("000709", "02000", f"Statement {query_id} not found", query_id))

    async def _awaited(self, query_id: str, keep: bool = False) -> JSONResponse:
        """The answer, or after POLL_SECONDS that it is in progress. `keep`: a client whose socket breaks may ask again."""
        task = self._answers[query_id]
        done, _ = await asyncio.wait([task], timeout=self.poll_seconds)
        if not done:
            return JSONResponse(_in_progress(query_id, IN_PROGRESS))
        if not keep:
            self._answers.pop(query_id, None)
        return JSONResponse(task.result())

    async def _answered(self, statement: Statement, body: dict[str, Any], base_url: str) -> dict[str, Any]:
        try:
            answer = await run_in_threadpool(self._query, statement, body, base_url)
            statement.conn.answered = statement.request_id, answer
            return answer
        except Exception:
            # what fails outside the statement itself, such as a value that cannot be put on the wire
            logger.exception("no answer for %r", str(body.get("sqlText"))[:200])
            message = "The embedded warehouse ran the statement and could not send its result; its log says why."
            return _failure("000603", "XX000", message, None)
        finally:
            self.engine.running.remove(statement)
            ended = [i for i, task in self._answers.items() if task.done()]
            for query_id in ended[: max(0, len(ended) - KEPT_ANSWERS)]:
                self._answers.pop(query_id, None)

    def _query(self, statement: Statement, body: dict[str, Any], base_url: str) -> dict[str, Any]:
        conn, sql = statement.conn, str(body["sqlText"])
        with nullcontext() if cancels(sql) else conn.lock:
            before = conn.parameters.copy()
            for name, value in (body.get("parameters") or {}).items():
                # a statement's own parameters, such as _statement_params={"QUERY_TAG": …}
                if name.upper() in ("QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "LOCK_TIMEOUT"):
                    conn.parameters[name.upper()] = value
            cur = conn.cursor()
            cur.statement = statement
            try:
                return _run(conn, cur, sql, body, base_url)
            except Error as e:
                logger.info("%s: %s", e.errno, e.raw_msg)
                return _failure(f"{e.errno or 603:06d}", e.sqlstate or "XX000", e.raw_msg or "", cur._query_id)
            finally:
                for name in ("QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "LOCK_TIMEOUT"):
                    if name in {n.upper() for n in body.get("parameters") or {}}:
                        conn.parameters.pop(name, None)
                        if name in before:
                            conn.parameters[name] = before[name]


def _run(conn: WarehouseConnection, cur: Any, sql: str, body: dict[str, Any], base_url: str) -> dict[str, Any]:
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


def _in_progress(query_id: str, code: str) -> dict[str, Any]:
    data = {"queryId": query_id, "getResultUrl": f"/queries/{query_id}/result", "queryAbortsAfterSecs": 300}
    message = "Query execution in progress."
    return {"data": data, "code": code, "message": message, "success": True}


def _failure(code: str, sqlstate: str, message: str, query_id: str | None) -> dict[str, Any]:
    data = {"errorCode": code, "sqlState": sqlstate, "queryId": query_id, "internalError": False, "line": -1, "pos": -1}
    return {"data": data, "code": code, "message": message, "success": False}


def _type_id(sql: str) -> int:
    """The statement type id that clients tell DML by."""
    try:
        return int(statement_type_id(parse_one(sql, read="snowflake")))
    except (SqlglotError, ValueError):
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


def _upload_target(base_url: str, expression: Any, upload: Any) -> dict[str, Any]:
    """Where PUT sends a file: to this server, by fakesnow's presigned-URL way."""
    import os.path
    from urllib.parse import quote

    from fakesnow.transforms import stage

    directory = upload["stageInfo"]["location"]
    name = os.path.basename(upload["src_locations"][0])  # noqa: PTH119
    path = quote(os.path.relpath(os.path.join(directory, name), stage.LOCAL_BUCKET_PATH))  # noqa: PTH118
    return {
        "locationType": "GCS",
        "location": f"{expression.args['put_stage_name']}/",
        "creds": {},
        "presignedUrl": f"{base_url}/fs_bucket/{path}",
    }


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        raw = gzip.decompress(raw)
    found: dict[str, Any] = json.loads(raw) if raw else {}
    return found


def _token(request: Request) -> str:
    """The token in `Authorization: Snowflake Token="…"`."""
    header = request.headers.get("Authorization", "")
    return header.partition('Token="')[2].rstrip('"')


def _gone() -> JSONResponse:
    message = "Session no longer exists. New login required to access the service."
    return JSONResponse({"data": None, "code": "390111", "message": message, "success": False})
