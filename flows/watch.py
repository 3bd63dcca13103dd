"""Servers that are gone end a run: Prefect's, the warehouse and S3 are asked beside its work, each in a thread of its own.

    ask ──▶ an answer, whatever it says: the server is there      no answer for SILENCE seconds ──▶ `gone`

The clients would go on trying for many minutes, and nothing interrupts them: so the process is ended.
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

SILENCE = 45  # seconds without an answer; with the last question and the goodbye, the run ends within a minute
_ASK_EVERY = 5
GOODBYE = 8  # seconds for giving back what can be given back


class Watch:
    """Asks the servers of a run until the block ends; `gone` hears of the first one that is silent, `later` seconds later than
    of others."""

    def __init__(
        self, servers: Mapping[str, Callable[[], None]], gone: Callable[[CxmError], None], later: int = 0
    ) -> None:
        self._servers, self._gone, self._silence = servers, gone, SILENCE + later
        self._silent: dict[
            str, int
        ] = {}  # seconds since the last answer; a server that never answered is not waited for
        self._end = threading.Event()

    def __enter__(self) -> Watch:
        for name in self._servers:
            threading.Thread(target=self._ask, args=(name,), name=f"asks {name}", daemon=True).start()
        threading.Thread(target=self._look, name="watches the servers", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def _ask(self, name: str) -> None:
        while not self._end.is_set():
            try:
                self._servers[name]()
                self._silent[name] = 0
            except Exception:  # no answer, whatever the reason; the next question may get one
                pass
            self._end.wait(_ASK_EVERY)

    def _look(self) -> None:
        """Count the seconds in which this process ran: one that was stopped itself knows nothing of the servers."""
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
    """Name of each server of a run → a question that returns when there is an answer, and raises when there is none."""
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
    """The Prefect server alone: it is needed until the flow's last state is told, when S3 and the warehouse are not any more."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    return {f"the Prefect server ({url})": lambda: _http(f"{url}/health")} if url else {}


def _http(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=20):  # the address of the API that this run talks to
            pass
    except urllib.error.HTTPError:  # an answer all the same
        return


def end_process(error: CxmError, goodbye: Callable[[], None]) -> NoReturn:
    """Say why, do what can be done within seconds, and end this process with the error's code, whatever its threads wait for."""
    sys.stderr.write(f"error: {error}\n")
    last = threading.Thread(target=goodbye, daemon=True)
    last.start()
    last.join(GOODBYE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(error.exit_code)
