"""Measures what Prefect adds to a run: the same batch of nine tables as plain step functions and as the flow, in turns.

    python -m tests.benchmarks.orchestration [--data DIR] [--scale 0.01] [--rounds 5]

Starts its own stack in a temporary home; the server is warm. Prints a line of JSON: medians in seconds (wall clock, and CPU
of this process), and their difference.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flows.settings import PROJECT, TELEMETRY_OFF, Settings


def plain(settings: Settings, data: Path) -> None:
    """Run one batch as the flow does, without Prefect: lease, land and load on eight threads, validate, publish, freshness."""
    from flows import blocks, lease
    from flows.clients import s3
    from flows.contract.model import Table
    from flows.contract.read import read_source
    from flows.ledger import Ledger, RunInfo
    from flows.steps import dbt, land, load, publish, validate

    source = read_source("olist")
    info = RunInfo(datetime.now(UTC).strftime("%Y%m%d_%H%M%S"), "", "")

    def connection(role: str = settings.loader_role) -> Any:
        return blocks.snowflake(settings, role, {"step": "benchmark"}, pooled=True)

    with connection() as open_:
        ledger = Ledger(open_, settings.database, source.name)
        info, _ = lease.take(ledger, info, 10)
        published = ledger.published()

    def table_path(table: Table) -> load.LoadResult:
        file = table.file_on(None)
        before = published.get((table.raw_name, file))
        client, path = blocks.s3_client(settings), data / file
        landed = land.land(
            client, settings.bucket, source, table, path, info.batch_id, before, True, codec=settings.codec
        )
        with connection() as own:
            return load.load(
                own, source, table, landed, info, settings.database, partial(s3.etags, client, settings.bucket)
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(table_path, source.tables))
    verdict = validate.validate(
        source,
        source.tables,
        info.batch_id,
        PROJECT / "expectations",
        settings.home / "expectations",
        validate.connection_from(blocks.snowflake_credentials(settings), settings),
        settings.home / "docs",
    )
    assert verdict.passed
    with connection() as open_:
        ledger = Ledger(open_, settings.database, source.name)
        publish.publish(ledger, info, [t.raw_name for t in source.tables])
        lease.give_back(ledger, info, closed=True)
    blocks.close_pool()
    handed = dbt.handoff(
        PROJECT / "dbt" / "cxm_medtech", source.name, dbt.dbt_environment(settings), settings.home / "dbt"
    )
    assert not handed.stale


def as_flow(data: Path) -> None:
    """Run the same batch as the flow `pipeline`."""
    from flows.pipeline import pipeline

    pipeline(source="olist", data=str(data), force=True)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds of wall clock, and of this process's CPU, that `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--scale", type=float, default=0.01)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    from flows.embedded import stack

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ.update(TELEMETRY_OFF, CXM_HOME=str(home), CXM_TARGET="embedded")
        os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        settings = Settings()
        if not (data := given.data):
            from flows.synthetic.olist import generate

            generate(data := home / "olist", given.scale)
        with stack.hold_servers(settings):
            os.environ.update(stack.prefect_environment(settings))
            settings = Settings()
            from flows.pipeline import provision

            provision()
            as_flow(data)  # imports modules and fills caches
            plain(settings, data)
            result: dict[str, list[tuple[float, float]]] = {"plain": [], "flow": []}
            for _ in range(given.rounds):
                time.sleep(1.1)  # a batch id has the resolution of a second
                result["plain"].append(timed(lambda: plain(settings, data)))
                time.sleep(1.1)
                result["flow"].append(timed(lambda: as_flow(data)))
    medians = {
        name: {
            "wall_s": round(statistics.median(w for w, _ in pairs), 2),
            "cpu_s": round(statistics.median(c for _, c in pairs), 2),
        }
        for name, pairs in result.items()
    }
    added = {unit: round(medians["flow"][unit] - medians["plain"][unit], 2) for unit in ("wall_s", "cpu_s")}
    sys.stdout.write(
        json.dumps({**medians, "prefect_adds": added, "rounds": given.rounds, "load": os.getloadavg()}) + "\n"
    )


if __name__ == "__main__":
    main()
