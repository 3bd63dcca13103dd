"""The open sessions of a server, by the token that the client got at login.

login request ──log_in──▶ Warehouse.connect ──▶ token; request ──token──▶ WarehouseConnection
"""

from __future__ import annotations

import logging
import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from snowflake.connector.errors import Error
from starlette.requests import Request

from flows.embedded.warehouse.execute.warehouse import Warehouse
from flows.embedded.warehouse.protocol.login import log_in
from flows.embedded.warehouse.session.connection import WarehouseConnection
from flows.embedded.warehouse.translate.translation import SERVER_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

# An idle session ends after 4 hours, https://docs.snowflake.com/en/user-guide/session-policies
IDLE = timedelta(hours=4)
SOCKETS = 64  # remembered for one session before closed ones are removed

# The parameters that clients get at login; https://docs.snowflake.com/en/sql-reference/parameters
_CLIENT_PARAMETERS = (
    "CLIENT_SESSION_KEEP_ALIVE", "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "CLIENT_PREFETCH_THREADS",
    "CLIENT_TELEMETRY_ENABLED", "DATE_OUTPUT_FORMAT", "TIMESTAMP_OUTPUT_FORMAT", "TIMESTAMP_NTZ_OUTPUT_FORMAT",
    "TIMESTAMP_LTZ_OUTPUT_FORMAT", "TIMESTAMP_TZ_OUTPUT_FORMAT", "TIME_OUTPUT_FORMAT", "BINARY_OUTPUT_FORMAT", "TIMEZONE",
)  # fmt: skip


class OpenSessions:
    """The sessions that are logged in to one warehouse."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._by_token: dict[str, WarehouseConnection] = {}
        self._masters: dict[str, str] = {}  # session token → master token, which renews it
        self._lock = threading.Lock()
        self.open_sockets: Callable[[], set[tuple[str, int]]] | None = None  # set by the program that runs the app

    def __len__(self) -> int:
        return len(self._by_token)

    def may_renew(self, token: str, master: str) -> bool:
        """Whether this master token may renew the session's token."""
        return (
            secrets.compare_digest(self._masters.get(token, "").encode(), master.encode()) and token in self._by_token
        )

    def open(self, data: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        """Start a session and return the answer to its login. Raises LoginRefusedError."""
        self._close_idle()
        login = log_in(self._warehouse.engine, data, query)
        parameters = {k.upper(): v for k, v in (data.get("SESSION_PARAMETERS") or {}).items()}
        try:
            conn = self._warehouse.connect(
                login.database, login.schema, user=login.user, role=login.role, warehouse=login.warehouse,
                autocommit=str(parameters.pop("AUTOCOMMIT", True)).lower() != "false", parameters=parameters,
            )  # fmt: skip
        except Error as e:
            return {"data": {}, "code": f"{e.errno:06d}", "message": e.raw_msg, "success": False}
        conn.secondary_roles = str(data.get("SECONDARY_ROLES") or login.secondary_roles)
        conn.client = f"{data.get('CLIENT_APP_ID', 'Client')} {data.get('CLIENT_APP_VERSION', '')}".strip()
        token, master = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with self._lock:
            self._by_token[token], self._masters[token] = conn, master
        logger.info("session %d: user %s, role %s", conn.session_id, conn.user, conn.role)
        settings = [{"name": n, "value": conn.parameter(n)} for n in _CLIENT_PARAMETERS]
        settings.append({"name": "AUTOCOMMIT", "value": conn.autocommit_on})
        # 0 keeps a batch's values in the request instead of on a stage
        settings.append({"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0})
        return {
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

    def of(self, request: Request) -> WarehouseConnection | None:
        """Return the session that a request names by its token; None if it has ended."""
        conn = self._by_token.get(token_of(request))
        if conn is not None and request.client is not None:
            socket = (request.client.host, request.client.port)
            conn.keeps_sockets = conn.keeps_sockets or socket in conn.sockets
            conn.sockets.add(socket)
            if len(conn.sockets) > SOCKETS and self.open_sockets is not None:
                conn.sockets &= self.open_sockets()
        return conn

    def end(self, token: str) -> None:
        """Forget a session; the caller closes it."""
        with self._lock:
            self._by_token.pop(token, None)
            self._masters.pop(token, None)

    def _close_idle(self) -> None:
        limit = datetime.now(UTC) - IDLE
        with self._lock:
            idle = [(token, conn) for token, conn in self._by_token.items() if conn.last_used < limit]
            for token, _ in idle:
                del self._by_token[token], self._masters[token]
        for _, conn in idle:
            conn.close()

    def close(self) -> None:
        """End all sessions: interrupt running statements, roll back open transactions."""
        with self._lock:
            sessions, self._by_token, self._masters = list(self._by_token.values()), {}, {}
        for conn in sessions:
            conn.duck.interrupt()
            conn.close()

    def client_lives(self, conn: WarehouseConnection) -> bool:
        """Return False if every socket that the session's requests came over is closed: its client ended without logging out.

        This never notices a client that opens a socket for each request.
        """
        if self.open_sockets is None or not conn.keeps_sockets:
            return True
        conn.sockets &= self.open_sockets()
        return bool(conn.sockets)


def token_of(request: Request) -> str:
    """Return the token in `Authorization: Snowflake Token="…"`."""
    header = request.headers.get("Authorization", "")
    return header.partition('Token="')[2].rstrip('"')
