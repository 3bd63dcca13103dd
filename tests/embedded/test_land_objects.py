"""Landing against a real S3 server: the bucket has the whole file once, or nothing."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from botocore.exceptions import ClientError

from flows.clients import s3, upload
from flows.contract.model import Source
from flows.errors import DataError, InfrastructureError
from flows.landing import LandResult, Published
from flows.steps import land as landing
from flows.steps.land import csv_fast, csv_strict
from tests.embedded.conftest import ObjectStore, made_bucket
from tests.unit.test_land import table

SOURCE = Source("olist", "1", "…", "RAW", "S", "F", (table(),), 1, 1)
BATCH = "20260101_000000"
FOLDER = f"raw/olist/kits/{BATCH}/"
UNPACK = {".zst": lambda b: zstandard.ZstdDecompressor().decompressobj().decompress(b), ".gz": gzip.decompress}


@pytest.fixture(scope="module")
def client(s3_server: ObjectStore) -> Any:
    return s3_server.client()


@pytest.fixture
def bucket(client: Any) -> Iterator[str]:
    """A bucket for one test, which may leave no upload open."""
    with made_bucket(client, "t") as name:
        yield name
        assert not uploads(client, name), "an upload was left open"


def uploads(client: Any, bucket: str) -> list[Any]:
    return client.list_multipart_uploads(Bucket=bucket).get("Uploads") or []  # type: ignore[no-any-return]


def keys(client: Any, bucket: str) -> list[str]:
    return [o["Key"] for o in client.list_objects_v2(Bucket=bucket).get("Contents", [])]


def stored(client: Any, bucket: str, key: str) -> bytes:
    """Return an object's content, decompressed as its key says."""
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return UNPACK.get(f".{key.rsplit('.', 1)[1]}", bytes)(body)  # type: ignore[operator,no-any-return]


def write(path: Path, records: int, seed: int = 1) -> bytes:
    """Write a file of quoted names with line breaks and separators in them; return its bytes."""
    data = made(records, seed)
    path.write_bytes(data)
    return data


@cache
def made(records: int, seed: int) -> bytes:
    random.seed(seed)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("id", "name", "score"))
    for i in range(records):
        rows.writerow((i, f'kit "{random.getrandbits(64):x}",\n{random.getrandbits(64):x} é', i % 5))
    return text.getvalue().encode()


def send(client: Any, bucket: str, path: Path, **options: Any) -> LandResult:
    return landing.land(client, bucket, SOURCE, table(), path, BATCH, options.pop("published", None), **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kits.csv"


@pytest.mark.parametrize(("codec", "name"), [("zstd", "kits.csv.zst"), ("gzip", "kits.csv.gz"), ("none", "kits.csv")])
def test_a_small_file_is_one_object_that_unpacks_to_the_file(
    codec: str, name: str, client: Any, bucket: str, path: Path
) -> None:
    data = write(path, 1000)
    result = send(client, bucket, path, codec=codec)
    assert keys(client, bucket) == [FOLDER + name]
    assert stored(client, bucket, FOLDER + name) == data
    head = client.head_object(Bucket=bucket, Key=FOLDER + name)
    assert result.objects == (landing.LandedObject(name, head["ContentLength"], 1000, head["ETag"].strip('"')),)
    assert (result.bytes, result.records, result.sha256) == (len(data), 1000, hashlib.sha256(data).hexdigest())
    assert head["Metadata"]["content-sha256"] == result.sha256
    assert head["Metadata"]["file-name"] == "kits.csv"


@pytest.mark.parametrize("codec", ["zstd", "gzip", "none"])
@pytest.mark.parametrize("stray", [False, True], ids=["plain", "read by the csv module"])
def test_a_large_file_is_split_between_records_with_a_header_in_each_part(
    codec: str, stray: bool, client: Any, bucket: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_fast, "BLOCK_BYTES", 32 * 1024)
    monkeypatch.setattr(csv_strict, "RECORDS_AT_ONCE", 500)
    data = write(path, 60_000)
    if stray:
        data += b'60000,5" tube,1\n'
        path.write_bytes(data)
    result = send(client, bucket, path, codec=codec, object_bytes=400_000)
    assert len(result.objects) > 2
    assert [o.name for o in result.objects] == sorted(o.name for o in result.objects)
    assert {FOLDER + o.name for o in result.objects} == set(keys(client, bucket))
    rows: list[list[str]] = []
    for part in result.objects:
        content = stored(client, bucket, FOLDER + part.name)
        header, *records = csv.reader(io.StringIO(content.decode(), newline="\n"), strict=True)
        assert header == ["id", "name", "score"]
        assert len(records) == part.records
        rows += records
    assert rows == list(csv.reader(io.StringIO(data.decode(), newline="\n")))[1:]
    sizes = [o.bytes for o in result.objects]
    assert min(sizes) > 150_000
    assert max(sizes) < 800_000
    assert result.sha256 == hashlib.sha256(data).hexdigest()
    assert {FOLDER + o.name: o.etag for o in result.objects} == s3.etags(client, bucket, FOLDER)


def test_only_the_beginning_of_the_file_has_a_byte_order_mark(client: Any, bucket: str, path: Path) -> None:
    data = b"\xef\xbb\xbf" + write(path, 60_000)
    path.write_bytes(data)
    result = send(client, bucket, path, codec="none", object_bytes=2_000_000)
    parts = [stored(client, bucket, FOLDER + o.name) for o in result.objects]
    assert len(parts) > 1
    assert [p.startswith(b"\xef\xbb\xbf") for p in parts] == [True] + [False] * (len(parts) - 1)
    assert parts[0] + b"".join(p.removeprefix(b"id,name,score\n") for p in parts[1:]) == data


@pytest.mark.parametrize("object_bytes", [160_000_000, 2_000_000], ids=["one object", "several"])
def test_a_second_try_of_a_batch_finds_its_own_objects(object_bytes: int, client: Any, bucket: str, path: Path) -> None:
    write(path, 130_000)
    first = send(client, bucket, path, codec="zstd", object_bytes=object_bytes)
    before = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert send(client, bucket, path, codec="zstd", object_bytes=object_bytes) == first
    assert {FOLDER + o.name: o.etag for o in first.objects} == s3.etags(client, bucket, FOLDER)
    assert client.list_objects_v2(Bucket=bucket)["Contents"] == before


@pytest.mark.parametrize("records", [10, 130_000], ids=["one request", "in parts"])
def test_a_key_is_never_written_over(records: int, client: Any, bucket: str, path: Path) -> None:
    data = write(path, records)
    send(client, bucket, path, codec="none")
    write(path, records, seed=2)
    with pytest.raises(DataError, match="exists with other bytes") as caught:
        send(client, bucket, path, codec="none")
    assert f"s3://{bucket}/{FOLDER}kits.csv" in str(caught.value)
    assert stored(client, bucket, FOLDER + "kits.csv") == data


@pytest.mark.parametrize(
    ("tail", "said"),
    [(b"x,y\n", "line 260002: 2 fields"), (b'x,"y,1\n', "never closes"), (b"x,\xe9,1\n", "not UTF-8")],
)
def test_a_file_that_is_bad_at_its_end_leaves_nothing(
    tail: bytes, said: str, client: Any, bucket: str, path: Path
) -> None:
    path.write_bytes(write(path, 130_000) + tail)
    with pytest.raises(DataError, match=said):
        send(client, bucket, path, codec="none", object_bytes=2_000_000)
    assert keys(client, bucket) == []


@pytest.mark.parametrize("how", ["grows", "is written over"])
def test_a_file_that_somebody_writes_to_is_refused_and_leaves_nothing(
    how: str, client: Any, bucket: str, path: Path
) -> None:
    data = write(path, 130_000)
    touched = []

    def meddle(phase: str, done: int, total: int) -> None:
        if not touched and done > total / 2:
            touched.append(phase)
            with path.open("r+b") as file:
                file.seek(0, 2 if how == "grows" else 0)
                file.write(b"9,half a rec" if how == "grows" else data[:1000])

    with pytest.raises(DataError, match="changed while it was read"):
        send(client, bucket, path, report=meddle, object_bytes=2_000_000)
    assert touched
    assert keys(client, bucket) == []


def test_an_unchanged_file_is_hashed_and_nothing_is_sent(
    client: Any, bucket: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(path, 1000)
    published = Published("20251231_000000", hashlib.sha256(data).hexdigest(), 1000)
    monkeypatch.setattr(landing, "scanned", lambda *_: pytest.fail("the file was read a second time"))
    result = send(client, bucket, path, published=published)
    assert (result.status, result.since, result.objects) == ("unchanged", "20251231_000000", ())
    assert (result.bytes, result.records) == (len(data), 1000)
    assert keys(client, bucket) == []


def test_an_unchanged_file_is_sent_when_forced_and_a_changed_one_always(client: Any, bucket: str, path: Path) -> None:
    data = write(path, 1000)
    published = Published("20251231_000000", hashlib.sha256(data).hexdigest(), 1000)
    assert send(client, bucket, path, published=published, force=True).status == "landed"
    other = Published("20251231_000000", "0" * 64, 1000)
    assert send(client, bucket, path, published=other).status == "landed"


def test_an_unchanged_file_is_refused_when_the_contract_has_changed(client: Any, bucket: str, path: Path) -> None:
    data = write(path, 10)
    published = Published("20251231_000000", hashlib.sha256(data).hexdigest(), 10)
    wider = table("id", "name", "score", "grade")
    with pytest.raises(DataError, match="missing grade"):
        landing.land(client, bucket, SOURCE, wider, path, BATCH, published)


class Faulty:
    """A client whose call `name` fails, or is sent twice as if its first answer had been lost."""

    def __init__(self, client: Any, name: str, after: int, lost_answer: bool = False) -> None:
        self._client, self._name, self._left, self._lost = client, name, after, lost_answer

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._client, name)
        if name != self._name:
            return real

        def call(**arguments: Any) -> Any:
            self._left -= 1
            if self._left >= 0:
                return real(**arguments)
            if self._lost:
                real(**arguments)
                return real(**arguments)  # as botocore asks again when it got no answer
            error = {"Error": {"Code": "InternalError", "Message": "…"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
            raise ClientError(error, name)  # type: ignore[arg-type]

        return call


@pytest.mark.parametrize(
    ("call", "after"),
    [("upload_part", 0), ("upload_part", 3), ("create_multipart_upload", 1), ("complete_multipart_upload", 0)],
)
def test_a_cut_upload_leaves_nothing(call: str, after: int, client: Any, bucket: str, path: Path) -> None:
    write(path, 400_000)
    with pytest.raises(InfrastructureError, match="500 InternalError"):
        send(Faulty(client, call, after), bucket, path, codec="none", object_bytes=8_000_000)
    assert keys(client, bucket) == []


@pytest.mark.parametrize(("call", "records"), [("put_object", 10), ("complete_multipart_upload", 130_000)])
def test_an_answer_lost_on_the_way_does_not_fail_the_landing(
    call: str, records: int, client: Any, bucket: str, path: Path
) -> None:
    data = write(path, records)
    assert send(Faulty(client, call, 0, lost_answer=True), bucket, path, codec="none").records == records
    assert stored(client, bucket, FOLDER + "kits.csv") == data


def test_bytes_damaged_on_the_way_are_refused_by_the_server(
    client: Any, bucket: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, 10)
    monkeypatch.setattr(upload, "_checksum", lambda _: "A" * 43 + "=")
    with pytest.raises(InfrastructureError, match="damaged on the way"):
        send(client, bucket, path)
    assert keys(client, bucket) == []


def test_a_run_that_is_told_to_end_stops_in_the_middle_and_leaves_nothing(client: Any, bucket: str, path: Path) -> None:
    write(path, 130_000)

    def stop(_phase: str, done: int, total: int) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        send(client, bucket, path, codec="none", report=stop)
    assert keys(client, bucket) == []
