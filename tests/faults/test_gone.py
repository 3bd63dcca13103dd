"""If a server goes away in the middle of a run, the run ends with exit code 5, and the next run loads everything."""

from __future__ import annotations

import os
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flows.contract.read import read_source
from tests.conftest import olist_files, run_flow
from tests.faults import batch
from tests.faults.conftest import Proxied
from tests.faults.proxy import Fault, Proxy, Request
from tests.faults.test_kills import SECONDS

SILENCE = 10  # test_stack_killed.py waits for the full time


def run_pipeline(home: str, folder: str, api: str) -> None:
    os.environ.update(CXM_HOME=home, PREFECT_API_URL=api)
    from prefect.context import refresh_global_settings_context

    refresh_global_settings_context()
    from flows import watch
    from flows.cli.app import fail
    from flows.cli.app import run_flow as run_flow_of_cxm
    from flows.errors import CxmError
    from flows.pipeline import pipeline

    watch.SILENCE = SILENCE
    try:
        run_flow_of_cxm(pipeline, source="olist", data=folder)
    except CxmError as error:
        fail(error, as_json=False)


@pytest.mark.soak
@pytest.mark.parametrize("away", ["prefect", "warehouse"])
def test_a_run_whose_server_is_gone_ends_soon(
    away: str, processes: ForkServerContext, proxied: Proxied, tmp_path: Path
) -> None:
    olist, settings = read_source("olist"), proxied.direct
    files = olist_files(tmp_path / "olist", scale=0.001, seed=7700 + len(away))
    api = os.environ["PREFECT_API_URL"]
    prefect = Proxy(int(urlsplit(api).port or 0), whole=False)
    through = api.replace(str(urlsplit(api).port), str(prefect.port))
    proxies = {"prefect": prefect, "warehouse": proxied.warehouse}
    gone: list[float] = []

    def copying(request: Request) -> Fault | None:
        if request.sql.startswith("COPY") and not gone:
            gone.append(time.monotonic())
            proxies[away].rule = lambda _: Fault("reset before")
        return None

    differed = batch.differences(settings, olist)
    proxied.warehouse.rule = copying
    process = processes.Process(target=run_pipeline, args=(str(proxied.settings.home), str(files), through))
    process.start()
    try:
        process.join(SECONDS)
        took = time.monotonic() - gone[0]
        assert process.exitcode == 5
        assert took < SILENCE + 15 + 15, "the last question, the goodbye, and what a busy machine adds"
    finally:
        process.kill()
        process.join()
        prefect.close()
    proxied.clear()
    run_flow("pipeline", source="olist", data=str(files), force=True)
    assert batch.published_rows(settings, olist) == batch.read_files(files, olist)
    assert [d for d in batch.differences(settings, olist) if d not in differed] == []
