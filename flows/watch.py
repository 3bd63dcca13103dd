"""Ends a run when a server stops answering. Threads poll Prefect's server, the warehouse and S3, one thread for each.

    poll ──▶ any answer, even an error: the server is up      no answer for SILENCE seconds ──▶ call `gone`

The clients would retry for many minutes and cannot be interrupted, so the process itself is ended.
"""

from __future__ import annotations

import os
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import NoReturn

from flows import blocks
from flows.errors import CxmError, InfrastructureError
from flows.settings import Settings

SILENCE = 45  # seconds without an answer; with the last poll and GOODBYE, the run ends within a minute
_POLL_EVERY = 5
GOODBYE = 8  # seconds for clean-up, such as giving the lease back, before the process ends


class Watch:
    """Polls a run's servers until the `with` block ends. Calls `gone` with an error for the first one that does not answer for
    SILENCE + `later` seconds."""

    def __init__(
        self, servers: Mapping[str, Callable[[], None]], gone: Callable[[CxmError], None], later: int = 0
    ) -> None:
        self._servers, self._gone, self._silence = servers, gone, SILENCE + later
        # Seconds since each server's last answer. A server that has never answered is not in it, so it cannot end the run.
        self._silent: dict[str, int] = {}
        self._end = threading.Event()

    def __enter__(self) -> Watch:
        for name in self._servers:
            threading.Thread(target=self._poll, args=(name,), name=f"polls {name}", daemon=True).start()
        threading.Thread(target=self._count_silence, name="watches the servers", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _poll(self, name: str) -> None:
        while not self._end.is_set():
            try:
                self._servers[name]()
                self._silent[name] = 0
            except Exception:  # no answer; the next poll may get one
                pass
            self._end.wait(_POLL_EVERY)

    def _count_silence(self) -> None:
        """Count seconds of silence, but only while this process runs: after being suspended it knows nothing of the servers."""
        while not self._end.wait(1):
            for name in list(self._silent):
                self._silent[name] += 1
                if self._silent[name] > self._silence and not self._end.is_set():
                    self._end.set()
                    self._gone(
                        InfrastructureError(
                            f"{name} did not answer for {self._silence} seconds; the run ends here. Start it again "
                            "(`cxm status`, `cxm up`), then run again: the next run clears up after this one"
                        )
                    )
                    return


def servers(settings: Settings) -> dict[str, Callable[[], None]]:
    """Return the name of each server of a run → a function that polls it, and raises if it does not answer, or S3 with a status
    from 500 on."""
    from botocore.exceptions import ClientError

    def s3() -> None:
        try:
            blocks.s3_client(settings).head_bucket(Bucket=settings.bucket)
        except ClientError as error:
            if int(error.response["ResponseMetadata"].get("HTTPStatusCode", 500)) >= 500:
                raise

    login = blocks.snowflake_credentials(settings)
    warehouse = f"https://{login.account}.snowflakecomputing.com"
    if getattr(login, "host", None):
        warehouse = f"{login.protocol}://{login.host}:{login.port}"
    return {"S3": s3, "the warehouse": lambda: _http(warehouse), **prefect_api()}


def prefect_api() -> dict[str, Callable[[], None]]:
    """Return only the Prefect server: it is needed longer than S3 and the warehouse, until the flow's last state is reported."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return {f"the Prefect server ({url})": lambda: _http(f"{url}/health")} if url else {}


def _http(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=20):  # the address of the API that this run talks to
            pass
    except urllib.error.HTTPError:  # an error response is an answer too
        return


def end_process(error: CxmError, goodbye: Callable[[], None]) -> NoReturn:
    """Print the error, give `goodbye` GOODBYE seconds, and end this process with the error's exit code, even if threads hang."""
    sys.stderr.write(f"error: {error}\n")
    last = threading.Thread(target=goodbye, daemon=True)
    last.start()
    last.join(GOODBYE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(error.exit_code)
