"""Snowflake's wire protocol over one Warehouse: HTTP on loopback ──▶ WarehouseConnection, Executor.

POST /session/v1/login-request, /queries/v1/query-request, /queries/v1/abort-request, /session (delete, heartbeat, token-request);
GET /queries/<id>/result, /monitoring/queries/<id>, /health. Sessions are in `open_sessions`, answers to queries in
`query_answers`.

A statement that fails answers HTTP 200 with `success: false`, code and SQL state; never HTTP 500,
which clients retry for minutes. One that runs longer than POLL_SECONDS, or was sent to run detached (`asyncExec`), answers "in
progress" with the address of its result, which clients ask until it exists.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import OrderedDict
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from snowflake.connector.errors import Error
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flows.embedded.warehouse.execute.executor import Executor
from flows.embedded.warehouse.execute.warehouse import Warehouse
from flows.embedded.warehouse.protocol.incoming import (
    BEFORE_LOGIN,
    STATEMENT,
    BadRequestError,
    Doorkeeper,
    as_object,
    read_body,
    refusal,
)
from flows.embedded.warehouse.protocol.login import LoginRefusedError
from flows.embedded.warehouse.protocol.open_sessions import OpenSessions, token_of
from flows.embedded.warehouse.protocol.query_answers import DETACHED, IN_PROGRESS, failure, in_progress, run
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.session.running import Statement
from flows.embedded.warehouse.statements.cancel import cancels
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)

THREADS = 128
POLL_SECONDS = 45.0  # a Snowflake account's own time; clients give up reading an answer after 60 s
KEPT_ANSWERS = 64


class Server:
    """The sessions of one warehouse and the routes that reach them."""

    def __init__(self, warehouse: Warehouse, poll_seconds: float = POLL_SECONDS) -> None:
        self.warehouse, self.registry = warehouse, warehouse.registry
        self.poll_seconds = poll_seconds
        self.sessions = OpenSessions(warehouse)
        self.registry.client_lives = self.sessions.client_lives
        # By query id: statements that run or are detached, and the last KEPT_ANSWERS that ended.
        self._answers: OrderedDict[str, asyncio.Task[dict[str, Any]]] = OrderedDict()
        self._askers: dict[str, str] = {}  # query id → user who sent it

    def app(self) -> Starlette:
        """Build the ASGI application; shutting it down closes every session and the warehouse."""

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            import anyio.to_thread

            # each running statement keeps a thread; 32 sessions at once must not wait for one
            anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
            yield
            await run_in_threadpool(self.close)

        return Starlette(
            lifespan=lifespan,
            middleware=[Middleware(Doorkeeper)],
            exception_handlers={BadRequestError: _bad_request},
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
            ],
        )

    def close(self) -> None:
        """Interrupt running statements, roll back open transactions, write the files."""
        self.sessions.close()
        self.warehouse.close()

    # ---- sessions

    async def health(self, _: Request) -> JSONResponse:
        """Answer 200 as soon as statements are accepted."""
        return JSONResponse({"status": "ok", "sessions": len(self.sessions)})

    async def ignored(self, _: Request) -> JSONResponse:
        """Accept and discard the telemetry that a client sends although it is off."""
        return JSONResponse({"success": True, "data": None, "code": None, "message": None})

    async def login(self, request: Request) -> JSONResponse:
        """Start a session."""
        body = await read_body(request, BEFORE_LOGIN, BEFORE_LOGIN)
        data = as_object(body.get("data"), "data")
        as_object(data.get("SESSION_PARAMETERS"), "SESSION_PARAMETERS")
        try:
            return JSONResponse(await run_in_threadpool(self.sessions.open, data, dict(request.query_params)))
        except LoginRefusedError as e:
            logger.info("login refused: %s", e.message)
            return JSONResponse({"data": {}, "code": e.code, "message": e.message, "success": False})

    async def renew(self, request: Request) -> JSONResponse:
        """Answer a client that renews its token with the same one: tokens here live as long as the session."""
        body = await read_body(request, BEFORE_LOGIN, BEFORE_LOGIN)
        token = str(body.get("oldSessionToken") or "")
        if not self.sessions.may_renew(token, token_of(request)):
            return _gone()
        data = {
            "sessionToken": token,
            "validityInSecondsST": 14400,
            "masterToken": token_of(request),
            "validityInSecondsMT": 14400,
        }
        return JSONResponse({"data": data, "code": None, "message": None, "success": True})

    async def session(self, request: Request) -> JSONResponse:
        """Keep a session alive, or end it (`?delete=true`)."""
        conn = self.sessions.of(request)
        if conn is None:
            return _gone()
        conn.last_used = datetime.now(UTC)
        if request.query_params.get("delete"):
            self.sessions.end(token_of(request))
            await run_in_threadpool(conn.close)
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def monitoring(self, request: Request) -> JSONResponse:
        """Answer the state of one statement by its id; empty for an unknown id."""
        conn = self.sessions.of(request)
        if conn is None:
            return _gone()
        query_id = request.path_params["query_id"]
        if statement := self.registry.running.get(query_id):
            blocked = self.registry.locks.waits(statement.conn.session_id)
            queries = [{"id": query_id, "status": "BLOCKED" if blocked else "RUNNING"}]
        else:
            queries = [
                {
                    "id": r.query_id, "status": "SUCCESS" if r.execution_status == "SUCCESS" else "FAILED_WITH_ERROR",
                    "errorCode": r.error_code, "errorMessage": r.error_message,
                }
                for r in self.registry.history.all()
                if r.query_id == query_id and (r.user_name == conn.user or conn.may("MONITOR", "ACCOUNT", ""))
            ]  # fmt: skip
        return JSONResponse({"data": {"queries": queries}, "success": True})

    # ---- statements

    async def abort(self, request: Request) -> JSONResponse:
        """Cancel a statement: one of this session by the client's request id, or one of this user by its query id
        (https://docs.snowflake.com/en/user-guide/querying-cancel-statements)."""
        conn = self.sessions.of(request)
        if conn is None:
            return _gone()
        if query_id := request.path_params.get("query_id"):
            statement = self.registry.running.get(query_id)
            if statement is not None and statement.conn.user != conn.user:
                statement = None
        else:
            statement = self.registry.running.asked_as(str((await read_body(request)).get("requestId") or ""), conn)
        if statement is not None:
            statement.stop(errors.canceled())
        return JSONResponse({"data": None, "code": None, "message": None, "success": True})

    async def query(self, request: Request) -> JSONResponse:
        """Run one statement; the same request again, after a broken socket, joins the one that runs."""
        conn = self.sessions.of(request)
        if conn is None:
            return _gone()
        body = await read_body(request)
        for part in ("parameters", "bindings"):
            as_object(body.get(part), part)
        if not isinstance(body.get("sqlText"), str):
            raise BadRequestError("Expected sqlText to be a text.")
        request_id = request.query_params.get("requestId") or request.query_params.get("request_guid") or ""
        statement = self.registry.running.asked_as(request_id, conn)
        if statement is None and conn.answered[0] == request_id != "":
            # A client that lost the answer sends the same request id again, and the statement does not run again,
            # https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests#resubmitting-a-request-to-execute-sql-statements
            return JSONResponse(conn.answered[1])
        if statement is None or statement.query_id not in self._answers:
            statement = Statement(conn, request_id)
            self.registry.running.add(statement)
            self._askers[statement.query_id] = conn.user
            self._answers[statement.query_id] = asyncio.create_task(self._answered(conn, statement, body))
        if body.get("asyncExec"):
            return JSONResponse(in_progress(statement.query_id, DETACHED))
        return await self._awaited(statement.query_id)

    async def result(self, request: Request) -> JSONResponse:
        """Answer the result of a statement that was in progress when its client last asked."""
        conn = self.sessions.of(request)
        if conn is None:
            return _gone()
        query_id = request.path_params["query_id"]
        if query_id in self._answers and self._askers.get(query_id) == conn.user:
            return await self._awaited(query_id, keep=True)
        return JSONResponse(failure("000709", "02000", f"Statement {query_id} not found", query_id))

    async def _awaited(self, query_id: str, keep: bool = False) -> JSONResponse:
        """Wait for the answer, `poll_seconds` at most. `keep`: a client whose socket breaks may ask again."""
        task = self._answers[query_id]
        done, _ = await asyncio.wait([task], timeout=self.poll_seconds)
        if not done:
            return JSONResponse(in_progress(query_id, IN_PROGRESS))
        if not keep:
            self._forget(query_id)
        return JSONResponse(task.result())

    async def _answered(self, conn: WarehouseConnection, statement: Statement, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = await run_in_threadpool(self._query, conn, statement, body)
            conn.answered = statement.request_id, answer
            return answer
        except Exception as e:
            # A failure outside the statement, such as a value that cannot be encoded. The error may quote it: it is not logged.
            where = "".join(traceback.format_tb(e.__traceback__))
            logger.error("no answer for %r: %s\n%s", str(body.get("sqlText"))[:200], type(e).__name__, where)
            message = "The embedded warehouse ran the statement and could not send its result; its log says why."
            return failure("000603", "XX000", message, None)
        finally:
            self.registry.running.remove(statement)
            ended = [i for i, task in self._answers.items() if task.done()]
            for query_id in ended[: max(0, len(ended) - KEPT_ANSWERS)]:
                self._forget(query_id)

    def _forget(self, query_id: str) -> None:
        self._answers.pop(query_id, None)
        self._askers.pop(query_id, None)

    def _query(self, conn: WarehouseConnection, statement: Statement, body: dict[str, Any]) -> dict[str, Any]:
        sql = body["sqlText"]
        if len(sql) > STATEMENT:
            return failure(
                "000002", "0A000", f"A statement of {len(sql)} characters; at most {STATEMENT} are taken here.", None
            )
        with nullcontext() if cancels(sql) else conn.lock:
            before = conn.parameters.copy()
            for name, value in (body.get("parameters") or {}).items():
                # a statement's own parameters, such as _statement_params={"QUERY_TAG": …}
                if name.upper() in ("QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "LOCK_TIMEOUT"):
                    conn.parameters[name.upper()] = value
            executor = Executor(conn, statement)
            try:
                return run(conn, executor, sql, body)
            except Error as e:
                # Errors about data, such as a value that is not recognized, are not logged: the value may be personal.
                quotes_data = 100000 <= (e.errno or 0) < 101000
                logger.info("%s: %s", e.errno, "of query " + executor.query_id if quotes_data else e.raw_msg)
                return failure(f"{e.errno or 603:06d}", e.sqlstate or "XX000", e.raw_msg or "", executor.query_id)
            finally:
                for name in ("QUERY_TAG", "STATEMENT_TIMEOUT_IN_SECONDS", "LOCK_TIMEOUT"):
                    if name in {n.upper() for n in body.get("parameters") or {}}:
                        conn.parameters.pop(name, None)
                        if name in before:
                            conn.parameters[name] = before[name]


async def _bad_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadRequestError)
    return refusal(str(error), error.status)


def _gone() -> JSONResponse:
    message = "Session no longer exists. New login required to access the service."
    return JSONResponse({"data": None, "code": "390111", "message": message, "success": False})
