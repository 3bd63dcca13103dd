"""One measured process of this project: files → S3 (`land`), the objects that `land` left → RAW (`copy`), files → S3 → RAW
(`load`), or a second run over files that are published (`again`).

    python -m tests.benchmarks.ours land|copy|load|again DATA BATCH_ID CODEC

The steps' own functions without Prefect around them, each table in a thread, the largest file first, as the flow does it.
`land` writes what it landed to the file that BENCH_LANDED names, `copy` reads it there.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

WORKERS = 8


class Soon:
    """Stands for an object that another thread still makes: importing boto3 takes time, and files can be read meanwhile."""

    def __init__(self, made: Future[Any]) -> None:
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made.result(), name)


def s3() -> Any:
    import boto3
    from botocore.config import Config

    from flows.clients.s3 import CLIENT_CONFIG

    return boto3.client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        config=Config(**CLIENT_CONFIG, s3={"addressing_style": "path"}),
    )


def warehouse() -> Any:
    import snowflake.connector

    return snowflake.connector.connect(
        account="cxm-embedded",
        user="CXM_EMBEDDED",
        password=os.environ["BENCH_WAREHOUSE_PASSWORD"],
        host="127.0.0.1",
        port=int(os.environ["BENCH_WAREHOUSE_PORT"]),
        protocol="http",
        role="CXM_LOADER",
        warehouse="WH_CXM",
        database="CXM_MEDTECH",
        schema="RAW",
        paramstyle="numeric",
        platform_detection_timeout_seconds=0,
        session_parameters={"TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False},
    )


def main(what: str, data: Path, batch_id: str, codec: Any) -> dict[str, Any]:
    started = time.perf_counter()
    kept = Path(os.environ["BENCH_LANDED"])
    if what != "land":
        import flows.clients.connector  # noqa: F401 - as the product imports it: alone, before other threads import
    with ThreadPoolExecutor(1) as aside, ThreadPoolExecutor(WORKERS) as pool:
        client: Any = Soon((pool if what == "copy" else aside).submit(s3))
        connecting = aside.submit(warehouse) if what != "land" else None
        from flows.clients.s3 import etags
        from flows.contract.read import read_source
        from flows.landing import Published
        from flows.steps.land import land

        source = read_source("olist")
        bucket = os.environ["BENCH_BUCKET"]
        tables = sorted(source.tables, key=lambda t: -(data / t.file).stat().st_size)
        published: dict[tuple[str, str], Published] = {}
        if what == "again":
            from flows.ledger import Ledger

            assert connecting is not None
            published = Ledger(connecting.result(), "CXM_MEDTECH", source.name).published()
            started = time.perf_counter()

        there = pickle.loads(kept.read_bytes()) if what == "copy" else {}

        def send(table: Any) -> Any:
            if there:
                return there[table.name]
            known = published.get((table.raw_name, table.file))
            return land(client, bucket, source, table, data / table.file, batch_id, known, codec=codec)

        landing = [pool.submit(send, table) for table in tables]
        rows = 0
        if what in ("load", "copy"):
            rows = copy(source, tables, landing, connecting, batch_id, lambda folder: etags(client, bucket, folder))
        landed = [future.result() for future in landing]
    if what == "land":
        kept.write_bytes(pickle.dumps({r.table: r for r in landed}))
    return {
        "seconds": time.perf_counter() - started,
        "records": sum(r.records for r in landed),
        "rows": rows,
        "statuses": sorted({r.status for r in landed}),
        "bytes": sum(o.bytes for r in landed for o in r.objects),
    }


def copy(
    source: Any, tables: list[Any], landing: list[Future[Any]], connecting: Any, batch_id: str, stored: Any
) -> int:
    """COPY each table as soon as it has landed; a connection for each worker, kept from table to table."""
    import threading

    from flows.lease import give_back, take
    from flows.ledger import Ledger, RunInfo
    from flows.steps.load import load
    from flows.steps.publish import publish

    first = connecting.result()
    ledger = Ledger(first, "CXM_MEDTECH", source.name)
    info, _ = take(ledger, RunInfo(batch_id), 60)
    own = threading.local()

    def one(landed: Future[Any]) -> int:
        if not hasattr(own, "connection"):
            own.connection = warehouse()
        return load(own.connection, source, by_landing[landed], landed.result(), info, "CXM_MEDTECH", stored).rows

    by_landing = dict(zip(landing, tables, strict=True))
    with ThreadPoolExecutor(WORKERS) as loaders:
        loading = [loaders.submit(one, landed) for landed in as_completed(landing)]
        rows = sum(loaded.result() for loaded in loading)
    publish(ledger, info, [t.raw_name for t in tables])
    give_back(ledger, info, closed=True)
    return rows


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])))  # noqa: T201
