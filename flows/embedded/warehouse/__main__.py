"""`python -m flows.embedded.warehouse --port P --dir DIR --users FILE [--s3-…]`: runs an emulated Snowflake on 127.0.0.1:P.

Prints one line when it takes connections, logs to stdout, ends at SIGTERM or SIGINT with its files written.
Exit codes: 0 after a stop, 2 for a wrong argument, 5 when the files or the port are in use.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is asked to stop."""
    parser = argparse.ArgumentParser(prog="python -m flows.embedded.warehouse", description="The embedded Snowflake.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, required=True, help="where databases and the account are kept")
    parser.add_argument(
        "--users", type=Path, required=True, help="JSON with the users that the account begins with and their passwords"
    )
    parser.add_argument("--s3-endpoint", help="URL of the S3 server that external stages read")
    parser.add_argument("--s3-identity", type=Path, help="SeaweedFS identities JSON with the key pair for it")
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=45.0,
        help="a statement that takes longer answers 'in progress' and is asked again",
    )
    parser.add_argument(
        "--idle-transaction-seconds", type=float, default=300.0,
        help="a transaction that did nothing for so long is rolled back when another waits for its lock",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if bool(options.s3_endpoint) != bool(options.s3_identity):
        parser.error("--s3-endpoint and --s3-identity go together")
    os.environ.update(DO_NOT_TRACK="1", FAKESNOW_DISABLE_TELEMETRY="1")
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # the parser warns of every statement that it leaves to this package
    logging.getLogger("sqlglot").setLevel(logging.ERROR)

    import duckdb
    import uvicorn

    from flows.embedded.warehouse.execute.warehouse import Warehouse
    from flows.embedded.warehouse.protocol.open_sessions import IDLE
    from flows.embedded.warehouse.protocol.server import Server
    from flows.embedded.warehouse.storage.s3 import S3Access

    try:
        s3 = S3Access.from_identity_file(options.s3_endpoint, options.s3_identity) if options.s3_endpoint else None
    except (OSError, ValueError) as e:
        parser.error(str(e))
    directory = options.dir.expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        warehouse = Warehouse(directory, s3, options.users, options.idle_transaction_seconds)
    except (OSError, ValueError) as e:
        parser.error(str(e))
    except duckdb.IOException as e:
        sys.stderr.write(
            f"{directory}: cannot be opened ({e}); is another warehouse running on it? Stop that one first.\n"
        )
        return 5

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup(sockets)  # type: ignore[arg-type]
            if self.started:
                sys.stdout.write(f"warehouse ready on http://127.0.0.1:{options.port} (files in {directory})\n")
                sys.stdout.flush()

    protocol = Server(warehouse, options.poll_seconds)
    config = uvicorn.Config(
        protocol.app(),
        host="127.0.0.1",
        port=options.port,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        # a client keeps its sockets open while it lives, so a closed socket shows that it was killed
        timeout_keep_alive=int(IDLE.total_seconds()),
    )
    # uvicorn shuts down at either signal, then raises it again for the handler set before its own: this one, so a stop exits 0
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server = Announcing(config)
    protocol.sessions.open_sockets = lambda: {c.client for c in server.server_state.connections.copy() if c.client}  # type: ignore[union-attr]
    server.run()
    return 0 if server.started else 5


if __name__ == "__main__":
    raise SystemExit(main())
