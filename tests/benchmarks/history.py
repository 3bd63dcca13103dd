"""Measures what a batch costs when RAW holds one batch, and when it holds a hundred: load with the count after it, validation.

    python -m tests.benchmarks.history [--batches 100] [--scale 0.01]

Starts its own stack in a temporary home. Every batch loads the same nine tables again. Prints a table of medians in seconds over
the first and the last batches, which are validated; those between are published without validation.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from flows.settings import PROJECT, TELEMETRY_OFF, Settings

AT_EACH_END = 5


class Batches:
    """Loads one batch after the other on a provisioned stack; `took` has the seconds of each step of each batch."""

    def __init__(self, settings: Settings, data: Path) -> None:
        from flows.contract.read import read_source

        self.settings, self.data, self.source = settings, data, read_source("olist")
        self.clock = datetime.now(UTC) - timedelta(days=1)
        self.took: dict[str, list[float]] = {"load": [], "validate": []}

    def next(self, validated: bool) -> None:
        from flows import blocks, lease
        from flows.clients import s3
        from flows.contract.model import Table
        from flows.ledger import Ledger, RunInfo
        from flows.steps import land, load, publish, validate

        self.clock += timedelta(seconds=1)
        settings, source, info = self.settings, self.source, RunInfo(self.clock.strftime("%Y%m%d_%H%M%S"))

        def connection() -> Any:
            return blocks.snowflake(settings, settings.loader_role, {"step": "benchmark"}, pooled=True)

        def landed(table: Table) -> Any:
            path, client = self.data / table.file, blocks.s3_client(settings)
            return land.land(client, settings.bucket, source, table, path, info.batch_id, None)

        def loaded(table: Table, what: Any) -> None:
            stored = partial(s3.etags, blocks.s3_client(settings), settings.bucket)
            with connection() as own:
                load.load(own, source, table, what, info, settings.database, stored)

        with connection() as own:
            info, _ = lease.take(Ledger(own, settings.database, source.name), info, 10)
        with ThreadPoolExecutor(4) as pool:
            files = list(pool.map(landed, source.tables))
            self.timed("load", lambda: list(pool.map(loaded, source.tables, files)))
        if validated:
            self.timed("validate", lambda: self.validate(validate, blocks, info.batch_id))
        with connection() as own:
            ledger = Ledger(own, settings.database, source.name)
            publish.publish(ledger, info, [t.raw_name for t in source.tables])
            lease.give_back(ledger, info, closed=True)

    def validate(self, validate: Any, blocks: Any, batch_id: str) -> None:
        settings, login = self.settings, blocks.snowflake_credentials(self.settings)
        verdict = validate.validate(
            self.source,
            self.source.tables,
            batch_id,
            PROJECT / "expectations",
            settings.home / "expectations",
            validate.connection_from(login, settings),
            settings.home / "docs",
        )
        assert verdict.passed

    def timed(self, step: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        self.took[step].append(time.perf_counter() - began)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--batches", type=int, default=100)
    arguments.add_argument("--scale", type=float, default=0.01)
    given = arguments.parse_args()
    from flows.embedded import stack
    from flows.synthetic.olist import generate

    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(TELEMETRY_OFF, CXM_HOME=folder, CXM_TARGET="embedded")
        generate(data := Path(folder) / "olist", given.scale)
        with stack.hold_servers(Settings()):
            settings = Settings()
            os.environ.update(stack.prefect_environment(settings))
            from flows import blocks
            from flows.pipeline import provision

            provision()
            batches = Batches(settings, data)
            batches.next(validated=True)  # imports modules and fills caches
            for number in range(1, given.batches):
                batches.next(number <= AT_EACH_END or number >= given.batches - AT_EACH_END)
            blocks.close_pool()
    print(f"| | batches 2 to {AT_EACH_END + 1} | the last {AT_EACH_END} of {given.batches} |\n|---|---|---|")  # noqa: T201
    for step, took in batches.took.items():
        first, last = (statistics.median(some) for some in (took[1 : AT_EACH_END + 1], took[-AT_EACH_END:]))
        print(f"| {step} | {first:.2f} s | {last:.2f} s |")  # noqa: T201


if __name__ == "__main__":
    main()
