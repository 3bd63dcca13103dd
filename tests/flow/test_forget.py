"""`cxm forget` deletes a person from RAW, landed objects and dbt's tables, also after a kill; a replay brings nothing back."""

from __future__ import annotations

import csv
import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zstandard
from click.testing import CliRunner

from flows import blocks
from flows.clients import s3
from flows.clients.upload import PART_BYTES, Upload
from flows.contract.dialect import Dialect
from flows.contract.model import Source
from flows.contract.person import Key, reach
from flows.contract.read import read_source
from flows.errors import DataError
from flows.lease import holding
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps import forget as step
from flows.steps.forget.objects import PersonMatcher, StoredObject, gather, landed_objects, rewrite
from flows.steps.load import load
from flows.steps.replay import restore_landed
from flows.steps.retention import archive
from tests.conftest import run_flow
from tests.faults.batch import differences, new_run, run_batch

pytestmark = pytest.mark.xdist_group("flow")
Query = Callable[..., list[tuple[Any, ...]]]
LOADED = [
    f"RAW.{name}"
    for name in (
        "OLIST_CUSTOMERS", "OLIST_ORDERS", "OLIST_ORDER_ITEMS", "OLIST_ORDER_PAYMENTS", "OLIST_ORDER_REVIEWS",
        "LOAD_LEDGER", "FORGOTTEN",
    )
]  # fmt: skip

PERSON, *_IDS = (uuid4().hex for _ in range(6))
ORDER_KEYS, ORDERS, REVIEW = _IDS[:2], _IDS[2:4], _IDS[4]
WORDS = f"planted words of {uuid4()}: call me, +49 1520 1234567"
TRACES = (PERSON, *ORDER_KEYS, *ORDERS, WORDS)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def plant(folder: Path) -> dict[str, int]:
    """Add a person with two orders, copied from other rows; return how many rows each RAW table gets."""
    changes: dict[str, list[dict[str, str]]] = {
        "olist_customers_dataset": [
            {"customer_id": key, "customer_unique_id": PERSON} for key in ORDER_KEYS
        ],
        "olist_orders_dataset": [
            {"order_id": order, "customer_id": key} for order, key in zip(ORDERS, ORDER_KEYS, strict=True)
        ],
        "olist_order_items_dataset": [{"order_id": order} for order in ORDERS],
        "olist_order_payments_dataset": [{"order_id": order} for order in ORDERS],
        "olist_order_reviews_dataset": [
            {"order_id": ORDERS[0], "review_id": REVIEW, "review_comment_message": WORDS + '\nand "more"'}
        ],
    }  # fmt: skip
    for stem, planted in changes.items():
        path = folder / f"{stem}.csv"
        header, like = rows_of(path)[:2]
        with path.open("a", encoding="utf-8", newline="") as file:
            for change in planted:
                row = dict(zip(header, like, strict=True)) | change
                csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(row.values())
    return {stem.removesuffix("_dataset").upper(): len(rows) for stem, rows in changes.items()}


def cxm(*arguments: str, code: int = 0) -> Any:
    from flows.cli import main

    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    assert PERSON not in result.output
    return json.loads(result.output)


def forget(*more: str, **code: int) -> dict[str, Any]:
    found = cxm(
        "forget", "--source", "olist", "--column", "customers.customer_unique_id", "--value", PERSON, *more, **code
    )
    return {**found, "places": {p["place"]: p["rows"] for p in found["places"]}} if "places" in found else found


def traces(settings: Settings, query: Query, tables: Iterable[str], batches: Iterable[str] = ()) -> list[str]:
    """Return those tables, and objects (of these batches, or all), that hold something of the person."""
    found = {
        table
        for table in tables
        for row in query(f"SELECT * FROM {table}")
        if any(trace in str(row) for trace in TRACES)
    }
    client = blocks.s3_client(settings)
    for key in s3.keys(client, settings.bucket, ""):
        if any(batch in key for batch in batches) or not batches:
            body = client.get_object(Bucket=settings.bucket, Key=key)["Body"].read()
            if key.endswith(".zst"):
                body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
            found |= {key for trace in TRACES if trace.encode() in body}
    return sorted(found)


@contextmanager
def at_work(settings: Settings, source: Source, batch_id: str) -> Iterator[tuple[Ledger, RunInfo]]:
    """Yield the source's ledger and a run that holds its lease."""
    with (
        blocks.ledger(settings, source.name, {"step": "test"}) as ledger,
        holding(ledger, replace(new_run(), batch_id=batch_id), settings.lease_minutes) as info,
    ):
        yield ledger, info


def published(settings: Settings) -> dict[str, tuple[int, str]]:
    with blocks.ledger(settings, "olist", {"step": "test"}) as ledger:
        return {table: (p.records, p.sha256) for (table, _), p in ledger.published().items()}


def test_a_person_is_shown_then_forgotten_and_a_replay_does_not_bring_them_back(
    settings: Settings, query: Query, olist: Source, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = plant(small)
    whole = olist
    olist = replace(olist, tables=tuple(t for t in olist.tables if f"RAW.{t.raw_name}" in LOADED))
    first, second = new_run(), new_run()
    run_batch(settings, olist, small, first)
    with at_work(settings, olist, first.batch_id) as (ledger, info):
        time.sleep(1)
        archive(ledger, blocks.s3_client(settings), settings.bucket, info, days=0)
    with (small / "olist_orders_dataset.csv").open("a", encoding="utf-8") as file:
        like = rows_of(small / "olist_orders_dataset.csv")[1]
        csv.writer(file).writerow(["0" * 32, *like[1:]])
    run_batch(settings, olist, small, second)

    search = partial(traces, settings, query, LOADED, (first.batch_id, second.batch_id))
    # Both batches have the orders; their objects are under archive/ and raw/.
    expected = {f"RAW.{table}": rows for table, rows in planted.items()} | {"RAW.OLIST_ORDERS": 4}
    expected |= {f"archive/olist/{table.lower()}_dataset/": rows for table, rows in planted.items()}
    expected |= {"raw/olist/olist_orders_dataset/": 2}
    shown = forget()
    assert (shown["applied"], shown["places"]) == (False, expected), "children's rows, never products or sellers"
    assert len(search()) == len(expected), "so the search below would see them"
    before = published(settings)

    # The run dies when some objects have been rewritten and the ledger has not recorded them yet.
    written: list[str] = []

    def dies(client: Any, bucket: str, landed: StoredObject, *rest: Any) -> Any:
        if len(written) == 3:
            raise DataError("killed")
        written.append(landed.key)
        return rewrite(client, bucket, landed, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(step, "rewrite", dies)
        assert forget("--apply", code=3)["error"] == "killed"
    assert not any("customers" in key for key in written), "what leads to the other rows goes last"
    assert {d.kind for d in differences(settings, whole)} <= {"object of another size", "object of other bytes"}

    done = forget("--apply")
    assert done["places"] == expected, "with the records of objects that the killed call has rewritten"
    assert search() == []
    assert differences(settings, whole) == ()
    after = published(settings)
    assert {table: before[table][0] - after[table][0] for table in before if before[table] != after[table]} == planted
    assert {table: of[1] for table, of in before.items()} == {table: of[1] for table, of in after.items()}, (
        "a file that comes once more as it was is known, and nothing of it is loaded"
    )

    for batch_id in (first.batch_id, second.batch_id):
        with at_work(settings, olist, batch_id) as (ledger, info):
            client = blocks.s3_client(settings)
            landed = restore_landed(ledger, client, settings.bucket, olist, batch_id, info)
            stored = partial(s3.etags, client, settings.bucket)
            for name, of_table in landed.items():
                load(
                    ledger.connection, olist, olist.table(name), of_table, info, settings.database, stored, replay=True
                )
    assert search() == []
    assert {d.kind for d in differences(settings, whole)} == {"batch without a verdict"}

    assert forget("--apply")["places"] == {}, "a second time there is nothing to do"
    noted = query(
        f"SELECT SOURCE, COLUMN_NAME, VALUE_HASH, PLACES FROM RAW.FORGOTTEN WHERE REQUEST_ID = '{done['request']}'"
    )
    assert [(row[0], row[1], len(row[2])) for row in noted] == [("olist", "OLIST_CUSTOMERS.CUSTOMER_UNIQUE_ID", 64)]
    assert json.loads(noted[0][3]) == done["places"]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
VALUE, OTHER = "b0b" * 10, "a11ce" * 6
DIALECTS = {
    "plain": (Dialect(), "\ufeffcustomer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state\r\n"
              f"1,{VALUE},,a,b\r\n2,{OTHER},,\"x\n{VALUE}\"\"\",b\r\n3,\" {VALUE}\",,,\r\n"),
    "semicolons, escaped": (Dialect(delimiter=";", escape="\\"),
                            f"h;u;z;c;s\n1;{VALUE};a\\;b;c;d\n2;{OTHER};a\\;b;\"c\\\"{VALUE}\";d\n3;\"{VALUE}\";;;\n"),
    "CR, no header": (Dialect(line_end="cr", header=False), f"1,{VALUE},,,\r2,{OTHER},{VALUE}x,,\r3,{VALUE},,,\r"),
    "no quotes": (Dialect(delimiter="\t", quote="", header=False), f"1\t{VALUE}\t\"\t\t\n2\t{OTHER}\t\"\t\t\n3\t{VALUE}\t\t\t\n"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_stays_in_an_object_keeps_its_bytes(settings: Settings, olist: Source, dialect: str, suffix: str) -> None:
    client, bucket = blocks.s3_client(settings), settings.bucket
    read_by, text = DIALECTS[dialect]
    table = replace(olist.table("customers"), dialect=read_by, file="forget_test_dataset.csv")
    source = replace(olist, tables=tuple(table if t.name == "customers" else t for t in olist.tables))
    key = f"raw/olist/forget_test_dataset/20260101_000000/forget_test_dataset.csv{suffix}"
    start = Key("OLIST_CUSTOMERS", ("CUSTOMER_UNIQUE_ID",))
    holder = next(h for h in reach([source], [start]).holders if h.name == "OLIST_CUSTOMERS")
    values = {start: {(VALUE,)}}
    columns = json.dumps([[c.header, c.name] for c in table.columns])
    client.put_object(Bucket=bucket, Key=key, Body=PACKED[suffix](text.encode()), Metadata={"batch-id": "1"})
    try:
        _, etag = s3.stored(client, bucket, key)[key]
        entry = {
            "etag": etag,
            "file_dialect": read_by.file_text,
            "file_columns": columns,
            "file_records": 3,
            "bytes": 1,
        }
        (landed,) = landed_objects(client, bucket, holder, {key: entry})
        matcher = PersonMatcher(holder, values, values)
        found = gather(client, bucket, landed, matcher, values)
        assert (found.records, found.named) == (2, True)
        assert values[Key("OLIST_CUSTOMERS", ("CUSTOMER_ID",))] == {("1",), ("3",)}
        size, etag, left = rewrite(client, bucket, landed, matcher, found)
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        unpack = {".gz": gzip.decompress, ".zst": zstandard.ZstdDecompressor().decompressobj().decompress, "": bytes}
        lines = text.encode().splitlines(keepends=True)
        gone = (lines[-1], next(line for line in lines if line.startswith(b"1")))
        assert unpack[suffix](body) == b"".join(line for line in lines if line not in gone)
        assert (len(body), left) == (size, 1)
        (again,) = landed_objects(client, bucket, holder, {key: entry})
        assert (again.replaced, again.left, again.etag) == (True, 1, etag), "the ledger does not know it yet"
        assert client.head_object(Bucket=bucket, Key=key)["Metadata"]["batch-id"] == "1"
        with pytest.raises(DataError, match="somebody wrote over it"):
            rewrite(client, bucket, replace(again, etag="0" * 32), matcher, found)
    finally:
        client.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("size", [10, PART_BYTES + 10])
def test_an_object_is_replaced_only_if_it_is_the_one_that_was_read(settings: Settings, size: int) -> None:
    client, bucket, key = blocks.s3_client(settings), settings.bucket, f"raw/olist/forget_test_dataset/replaced_{size}"

    def upload(body: bytes, replaces: str = "") -> str:
        one = Upload(client, bucket, key, "text/csv", {}, replaces)
        one.write(body)
        one.end()
        one.finish({})
        return one.etag

    try:
        first = upload(b"a" * size)
        second = upload(b"b" * size, first)
        for etag in (first, ""):
            with pytest.raises(DataError, match="key exists with other bytes"):
                upload(b"c" * size, etag)
        assert s3.etags(client, bucket, key) == {key: second}
    finally:
        client.delete_object(Bucket=bucket, Key=key)


def in_tables(query: Query) -> list[str]:
    """Return every table and view of the database that holds something of the person."""
    names = query("SELECT TABLE_SCHEMA, TABLE_NAME FROM INFORMATION_SCHEMA.TABLES")
    held = [f"{schema}.{name}" for schema, name in names if schema != "INFORMATION_SCHEMA"]
    rows = {name: query(f"SELECT * FROM {name}") for name in held}
    return sorted(name for name in held if any(trace in str(rows[name]) for trace in TRACES))


def in_files(home: Path) -> list[str]:
    """Return every file of a home that holds something of the person, except where the servers keep tables and objects: deleted
    bytes may stay there until they are overwritten."""
    found = []
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.relative_to(home).parts[0] not in ("s3", "warehouse"):
            data = path.read_bytes()
            found += [str(path.relative_to(home)) for trace in TRACES if trace.encode() in data]
    return found


def publish_both(run_pipeline: Callable[..., Any], small: Path, days: Path) -> str:
    """Publish the person's rows in olist, and those of a day of synthetic that refer to them; returns the batch of synthetic."""
    from flows.synthetic.medtech import generate
    from flows.synthetic.shipments import read_shipments

    plant(small)
    run_pipeline(small, force=True)
    day = date(2018, 2, 3)
    generate(days, read_shipments(small), day, day, scale=0.1)
    for table, change in (
        ("support_tickets", {"hcp_id": PERSON}),
        ("device_complaints", {"hcp_id": "", "shipment_id": ORDERS[0], "narrative": WORDS}),
    ):
        path = days / f"{table}_{day}.csv"
        header, *rows = rows_of(path)
        row = dict(zip(header, rows[-1], strict=True)) | change
        row[header[0]] = row[header[0]][:-9] + "987654321"
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(row.values())
    return str(run_flow("pipeline", source="synthetic", data=str(days), day=day).batch_id)


def build_hcps(settings: Settings) -> None:
    """Build the dbt tables that hold persons, and the models that they read."""
    from flows.steps import build, dbt

    environment = dbt.dbt_environment(blocks.with_login(settings))
    chosen = "+snap_hcps +dim_hcps +fct_touchpoints"
    done = build.build(
        settings.project / "dbt" / "cxm_medtech", environment, settings.home / "dbt", chosen, tests="buildable"
    )
    assert (done.failed, done.skipped) == (0, 0), done.problems


def noted_requests(query: Query) -> dict[str, list[dict[str, int]]]:
    """Return the notes of `cxm forget`: request → rows by place, for each source."""
    notes: dict[str, list[dict[str, int]]] = {}
    for request, _, places in query("SELECT DISTINCT REQUEST_ID, SOURCE, PLACES FROM RAW.FORGOTTEN"):
        notes.setdefault(request, []).append(json.loads(places))
    return notes


@pytest.mark.soak
@pytest.mark.usefixtures("without_days")
@pytest.mark.parametrize("killed", ["after dbt's tables", "between two sources"])
def test_what_a_killed_forget_deleted_is_noted(
    settings: Settings,
    query: Query,
    run_pipeline: Callable[..., Any],
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: str,
) -> None:
    touched = publish_both(run_pipeline, small, tmp_path / "days")
    build_hcps(settings)
    expected, before = forget()["places"], noted_requests(query).keys()
    assert {place.split(".")[0] for place in expected if "/" not in place} == {"RAW", "SNAPSHOTS", "INT", "MARTS"}

    def dies(of: Any, *rest: Any) -> Any:
        if killed == "after dbt's tables" or of.source == "olist":
            raise DataError("killed")
        return forget_rows(of, *rest)

    forget_rows = step.forget_rows
    with monkeypatch.context() as patch:
        patch.setattr(step, "forget_objects" if killed == "after dbt's tables" else "forget_rows", dies)
        assert forget("--apply", code=3)["error"] == "killed"
    left = set(in_tables(query))
    assert not left & {place for place in expected if not place.startswith("RAW.")}, "dbt's tables are rid of them"
    assert {name.split("_")[0] for name in left if name.startswith("RAW.")} == (
        {"RAW.OLIST", "RAW.SYNTHETIC"} if killed == "after dbt's tables" else {"RAW.OLIST"}
    )
    time.sleep(1)  # a request's id is its second
    forget("--apply")
    assert in_tables(query) == []
    assert traces(settings, query, ()) == []
    assert forget("--apply")["places"] == {}
    noted: dict[str, int] = {}
    for request, notes in noted_requests(query).items():
        if request not in before:
            for place, rows in (pair for note in notes for pair in note.items()):
                noted[place] = noted.get(place, 0) + rows
    assert noted == expected, "each place once, whichever call deleted its rows"
    run_flow("undo", batch=touched, source="synthetic")


@pytest.mark.soak
@pytest.mark.usefixtures("without_days")
def test_a_planted_person_is_nowhere_after_forget_and_a_build(
    settings: Settings, query: Query, run_pipeline: Callable[..., Any], small: Path, tmp_path: Path
) -> None:
    from flows.cli.app import _deliver
    from flows.steps import reconcile

    def differences() -> set[reconcile.Difference]:
        result: set[reconcile.Difference] = set()
        for source in ("olist", "synthetic"):
            with blocks.ledger(settings, source, {"step": "test"}) as ledger:
                client = blocks.s3_client(settings)
                result.update(reconcile.reconcile(ledger, client, settings.bucket, read_source(source)))
        return result

    out_of_the_way = differences()  # days of other tests, whose rows stay in RAW meanwhile
    touched = publish_both(run_pipeline, small, tmp_path / "days")
    build_hcps(settings)
    tables = in_tables(query)
    assert {"SNAPSHOTS.SNAP_HCPS", "INT.INT_TOUCHPOINTS_MERGED", "MARTS.DIM_HCPS", "MARTS.FCT_TOUCHPOINTS"} <= set(
        tables
    )
    assert any(table.startswith("RAW.SYNTHETIC") for table in tables)

    done = forget("--apply")["places"]
    assert done["SNAPSHOTS.SNAP_HCPS"] == 1
    assert done["INT.INT_TOUCHPOINTS_MERGED"] == sum(
        n for place, n in done.items() if place.startswith("RAW.SYNTHETIC")
    )
    assert in_tables(query) == [], "what dbt keeps is rid of them at once"
    build_hcps(settings)
    assert in_tables(query) == []
    assert traces(settings, query, ()) == []
    assert differences() <= out_of_the_way
    _deliver()
    assert in_files(settings.home) == []
    run_flow("undo", batch=touched, source="synthetic")
