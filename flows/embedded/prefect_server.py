"""Command lines and environments of the embedded Prefect server (SQLite in CXM_HOME/prefect) and its worker.

Measured on two idle cores with Prefect 3.8, until /api/health answers: 11 s with default settings, of which 5 s are the import of
prefect-aws and prefect-snowflake for the block catalogue, done at every start; 5 to 6 s with the settings below. A new database
adds 12 s for its migrations (112, and 3.9 has 115), so an installation keeps one empty migrated database and later homes
begin with its copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from importlib.metadata import version
from pathlib import Path

from flows.embedded.prefect_app import HOSTS


def command(port: int) -> list[str]:
    """Return the command line of a server on 127.0.0.1."""
    return [sys.executable, "-m", "flows.embedded.prefect_app", str(port)]


def environment(home: Path, port: int, auth: str) -> dict[str, str]:
    """Return the server's environment; `home` is CXM_HOME/prefect, `auth` the home's user:password. Also prepares the
    database file.

    Schedules, late runs and the other background services stay on, since deployments need them.
    """
    home.mkdir(parents=True, exist_ok=True)
    if not _marker(home).exists():
        # The server was never healthy: the database is from a first start that was cut short, perhaps inside a migration.
        for leftover in home.glob("prefect.db*"):
            leftover.unlink()
        if _template().exists():
            shutil.copyfile(_template(), home / "prefect.db")
            _marker(home).write_text(version("prefect"))
    current = (home / "prefect.db").exists() and _marker(home).read_text() == version("prefect")
    first = "false" if current else "true"
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
        "PREFECT_SERVER_UI_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # The server copies its pages before it serves them; by default into the installation, where two homes would meet.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Runs older than three months are deleted, with their logs, tasks and artifacts; the ledger keeps each batch's result.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        # Wait for SQLite's single writer instead of answering 503.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        # Slots in use are counted in the database, the leases that free them after a kill are by default in the server's memory:
        # with a restart between the two, a slot stays taken for good (https://github.com/PrefectHQ/prefect/pull/20090).
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": first,
        # The catalogue of block types comes from data in Prefect's own wheel and needs to be written once per version;
        # with the memo store on, every start imports the integrations just to find that nothing changed.
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": first,
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    }


def worker_command() -> list[str]:
    """Return the command line of a worker on the embedded server: each flow run is a separate process."""
    worker = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "cxm-process", "--type", "process"]
    return [*worker, "--name", "cxm", "--with-healthcheck"]


def worker_environment(home: Path, port: int, api_url: str, ui_url: str, auth: str) -> dict[str, str]:
    """Return the environment of the worker and its runs; `home` is CXM_HOME, `auth` the Prefect server's user:password."""
    return {
        "CXM_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_UI_URL": ui_url,
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(port),
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # the server is on this machine: a run need not wait ten seconds to start
    }


def healthy_once(home: Path) -> None:
    """Note that this home's database is migrated, and keep an empty copy for the next new home."""
    marker = _marker(home)
    if marker.exists() and marker.read_text() == version("prefect"):
        return
    new = not marker.exists()
    marker.write_text(version("prefect"))
    template = _template()
    if not new or template.exists():
        return
    aside = template.with_name(f"{template.name}.{os.getpid()}")
    with suppress(OSError, sqlite3.Error):  # the installation is read-only: no copy
        template.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(home / "prefect.db")) as source, closing(sqlite3.connect(aside)) as target:
            source.backup(target)
            # The copy must have no runs, blocks or keys of this home, which a client may have created already.
            used = target.execute(
                "SELECT (SELECT count(*) FROM flow_run) + (SELECT count(*) FROM block_document)"
                " + (SELECT count(*) FROM configuration)"
            ).fetchone()[0]
        if used:
            aside.unlink()
        else:
            aside.replace(template)


def _marker(home: Path) -> Path:
    return home / "database-version"


def _template() -> Path:
    return Path(sys.prefix) / "share" / "medtech-cxm" / f"prefect-{version('prefect')}.db"
