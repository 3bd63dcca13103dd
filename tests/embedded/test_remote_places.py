"""Files in a bucket and on an SFTP server are read as those of a folder; if that fails, the cause is reported, nothing landed."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from pydantic import SecretStr

from flows.clients import s3_place, sftp, sftp_session
from flows.clients.s3 import retry_truncated_headers
from flows.errors import ConfigurationError, DataError, InfrastructureError
from flows.places import Archive, Place
from flows.steps import land as landing
from flows.steps.land import checksum, inspect
from tests.embedded.conftest import ObjectStore, made_bucket
from tests.embedded.test_land_objects import BATCH, SOURCE, stored, uploads
from tests.faults.proxy import Fault, Proxy, Request
from tests.sftp_server import PASSWORD, USER, SftpServer
from tests.unit.test_land import table
from tests.unit.test_places import CONTENT, PACKINGS, PLACES

LARGE = b"id,name,score\n" + b"".join(b"%d,kit %064x,%d\n" % (n, n * 7**40, n % 5) for n in range(60_000))


@pytest.fixture(scope="module")
def client(s3_server: ObjectStore) -> Any:
    return retry_truncated_headers(s3_server.client())


@pytest.fixture
def bucket(client: Any) -> Iterator[str]:
    """Somebody else's bucket."""
    with made_bucket(client, "theirs") as name:
        yield name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SftpServer]:
    server = SftpServer(tmp_path_factory.mktemp("sftp"))
    yield server
    server.close()


@pytest.fixture
def folder(server: SftpServer) -> Iterator[Path]:
    """A folder of the server, as a local path."""
    path = server.root / secrets.token_hex(4)
    path.mkdir()
    yield path
    server.fault = lambda _: ""
    shutil.rmtree(path)


def login(server: SftpServer, **other: Any) -> sftp_session.Login:
    options = {"secret": SecretStr(server.private_key), "known_hosts": server.known_hosts, **other}
    return sftp_session.Login("127.0.0.1", server.port, USER, **options)


def on_s3(client: Any, bucket: str, made: Path) -> Place:
    """Upload what a test made in a folder; return the place in the bucket."""
    for path in made.parent.rglob("*") if made.is_file() else made.iterdir():
        if path.is_file():
            client.upload_file(str(path), bucket, f"in/olist/{path.name}")
    return s3_place.place(client, f"s3://{bucket}/in/olist")


@pytest.mark.parametrize("packing", ["", ".gz", ".zst", ".bz2"])
@pytest.mark.parametrize("where", PLACES)
def test_a_file_is_the_same_in_a_bucket_and_on_an_sftp_server(
    where: str, packing: str, client: Any, bucket: str, server: SftpServer, folder: Path
) -> None:
    made = PLACES[where](folder, "kits.csv" + packing, PACKINGS[packing](CONTENT))
    digest = hashlib.sha256(CONTENT).hexdigest()
    for place in (on_s3(client, bucket, made), sftp.place(login(server), f"/{folder.name}")):
        assert isinstance(place, Archive) == (where != "folder")  # a folder with only an archive means the archive
        facts = inspect(place / "kits.csv", table())
        assert (facts.records, facts.bytes, facts.sha256) == (20_000, len(CONTENT), digest)
        assert checksum(place / "kits.csv") == digest
        assert "kits.csv" + packing in [entry.name for entry in place.entries()]
        assert place.entries() == place.entries()
        with (place / "kits.csv").open() as opened:
            assert opened.file.readline() == b"id,name,score\n"
            opened.file.seek(0)  # landing reads twice what only the csv module can judge
            assert opened.file.read() == CONTENT
            opened.refuse_changed()
        with pytest.raises(DataError, match=r"^s(3|ftp)://.*absent\.csv: no such file; .*another place with --data"):
            inspect(place / "absent.csv", table())


def test_a_place_is_named_by_an_archive_too(client: Any, bucket: str, server: SftpServer, folder: Path) -> None:
    made = PLACES["zip"](folder, "kits.csv", CONTENT)
    on_s3(client, bucket, made)
    for place in (
        s3_place.place(client, f"s3://{bucket}/in/olist/archive.zip"),
        sftp.place(login(server), f"/{folder.name}/archive.zip"),
    ):
        assert str(place).endswith("/archive.zip")
        assert inspect(place / "kits.csv", table()).records == 20_000


def test_a_listing_names_folders_and_leaves_out_what_is_hidden(
    client: Any, bucket: str, server: SftpServer, folder: Path
) -> None:
    for key in ("in/", "in/kits.csv", "in/.hidden", "in/old/kits.csv", "in/more.csv", "inbox/kits.csv"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    (folder / "old").mkdir()
    for name in ("kits.csv", ".hidden", "more.csv"):
        (folder / name).write_bytes(b"x")
    (folder / "link.csv").symlink_to("gone.csv")
    for place in (s3_place.place(client, f"s3://{bucket}/in/"), sftp.place(login(server), f"/{folder.name}/")):
        got = place.entries()
        assert [(e.name, e.size, e.is_folder) for e in got] == [
            ("kits.csv", 1, False),
            ("more.csv", 1, False),
            ("old/", 0, True),
        ]
        assert got[0].path == f"{place}/kits.csv"
        assert got[0].changed.utcoffset() is not None
    assert s3_place.place(client, f"s3://{bucket}/nothing").entries() == []
    assert sftp.place(login(server), "/nothing").entries() == []


def test_a_thousand_and_more_objects_are_all_listed(client: Any, bucket: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: client.put_object(Bucket=bucket, Key=f"in/{n:04d}.csv"), range(1003)))
    assert len(s3_place.place(client, f"s3://{bucket}/in").entries()) == 1003


def send(client: Any, bucket: str, place: Place) -> Any:
    return landing.land(client, bucket, SOURCE, table(), place / "kits.csv", BATCH, None)


def nothing_landed(client: Any, bucket: str) -> bool:
    return not client.list_objects_v2(Bucket=bucket).get("Contents") and not uploads(client, bucket)


@pytest.fixture
def landing_bucket(client: Any) -> Iterator[str]:
    with made_bucket(client, "landing") as name:
        yield name


def test_what_is_landed_is_the_file(
    client: Any, bucket: str, landing_bucket: str, server: SftpServer, folder: Path
) -> None:
    (folder / "kits.csv").write_bytes(LARGE)
    place = on_s3(client, bucket, folder)
    landed = send(client, landing_bucket, place)
    key = landed.folder + landed.objects[0].name
    assert stored(client, landing_bucket, key) == LARGE
    again = send(client, landing_bucket, sftp.place(login(server), f"/{folder.name}"))
    assert (again.sha256, again.objects) == (landed.sha256, landed.objects)


@pytest.fixture(scope="module")
def proxy(s3_server: ObjectStore) -> Iterator[Proxy]:
    proxy = Proxy(int(s3_server.endpoint.rpartition(":")[2]), whole=False)
    yield proxy
    proxy.close()


@pytest.fixture
def far(s3_server: ObjectStore, proxy: Proxy) -> Any:
    """A client behind a bad network, with short timeouts."""
    from flows.embedded.warehouse.storage.s3 import S3Access

    access = S3Access.from_identity_file(s3_server.endpoint, s3_server.identity)
    config = Config(
        read_timeout=1,
        connect_timeout=1,
        retries={"mode": "standard", "total_max_attempts": 2},
        s3={"addressing_style": "path"},
    )
    proxy.seen.clear()
    yield retry_truncated_headers(
        boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{proxy.port}",
            aws_access_key_id=access.access_key,
            aws_secret_access_key=access.secret_key,
            region_name="us-east-1",
            config=config,
        )
    )
    proxy.rule = lambda _: None


def gets(proxy: Proxy) -> list[Request]:
    return [one for one in proxy.seen if one.method == "GET" and one.path.endswith("kits.csv")]


@pytest.mark.parametrize("kind", ["reset mid-answer", "truncate", "hold"])
def test_an_answer_that_breaks_off_goes_on_where_it_broke(
    kind: Any, client: Any, bucket: str, landing_bucket: str, far: Any, proxy: Proxy
) -> None:
    client.put_object(Bucket=bucket, Key="in/kits.csv", Body=LARGE)
    place = s3_place.place(far, f"s3://{bucket}/in")
    proxy.seen.clear()
    proxy.rule = lambda r: Fault(kind) if r in gets(proxy)[:1] else None
    landed = landing.land(client, landing_bucket, SOURCE, table(), place / "kits.csv", BATCH, None)
    assert landed.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert len(gets(proxy)) >= 2
    assert all(one.headers["if-match"] for one in gets(proxy))


def test_a_network_that_stays_broken_is_told_and_nothing_landed(
    client: Any, bucket: str, landing_bucket: str, far: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.put_object(Bucket=bucket, Key="in/kits.csv", Body=LARGE)
    monkeypatch.setattr(s3_place, "TRIES", 2)
    place = s3_place.place(far, f"s3://{bucket}/in")
    proxy.seen.clear()
    proxy.rule = lambda r: Fault("truncate" if len(gets(proxy)) == 1 else "reset before") if r in gets(proxy) else None
    with pytest.raises(InfrastructureError) as caught:
        landing.land(client, landing_bucket, SOURCE, table(), place / "kits.csv", BATCH, None)
    said = str(caught.value)
    assert said.startswith(f"s3://{bucket}/in/kits.csv: broke off: expected {len(LARGE):,} bytes, got ")
    assert said.endswith("nothing of it was landed; check the network, then run again")
    assert nothing_landed(client, landing_bucket)


def test_an_object_that_is_written_over_meanwhile_is_noticed(client: Any, bucket: str, landing_bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="in/kits.csv", Body=LARGE)
    place = s3_place.place(client, f"s3://{bucket}/in")
    with (place / "kits.csv").open() as opened:
        opened.file.read(100)
        client.put_object(Bucket=bucket, Key="in/kits.csv", Body=LARGE.replace(b"kit", b"cat"))
        with pytest.raises(
            DataError, match=r"in/kits\.csv: changed while it was read: expected [0-9,]+ bytes with ETag"
        ):
            opened.refuse_changed()
        opened.file.seek(0)
        opened.file.seek(2_000_000)
        with pytest.raises(DataError, match="changed while it was read"):
            opened.file.read()

    def spoiled(*arguments: Any) -> None:
        if arguments[0] == "check" and arguments[1] > 1_000_000:
            client.put_object(Bucket=bucket, Key="in/kits.csv", Body=secrets.token_bytes(30))

    with pytest.raises(DataError, match="changed while it was read"):
        landing.land(client, landing_bucket, SOURCE, table(), place / "kits.csv", BATCH, None, report=spoiled)
    assert nothing_landed(client, landing_bucket)


def test_a_missing_or_foreign_bucket_is_reported(client: Any, far: Any, proxy: Proxy, bucket: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"s3://no-such-bucket-here/in: there is no such bucket; correct its name"
    ):
        s3_place.place(client, "s3://no-such-bucket-here/in/olist")
    denied = b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message></Error>'
    proxy.rule = lambda _: Fault("answer", 403, {"content-type": "application/xml"}, denied)
    with pytest.raises(
        ConfigurationError, match=r"may not read it; name the place in CXM_SOURCE_PLACES and run `cxm provision"
    ):
        s3_place.place(far, f"s3://{bucket}/in")
    with pytest.raises(ConfigurationError, match="names no bucket; expected s3://bucket/prefix"):
        s3_place.place(client, "s3:///in")


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("cut", InfrastructureError, r"kits\.csv: the connection to 127\.0\.0\.1 failed .*nothing was landed"),
        ("stall", InfrastructureError, r"gave no answer for 1 s; see whether the server is well"),
        ("deny", ConfigurationError, r"kits\.csv: may not be read by clinic \(permission denied\)"),
        ("end", DataError, r"kits\.csv: ends early: expected 4,608,904 bytes as at its start, got 4,194,304"),
    ],
)
def test_an_sftp_server_that_breaks_off_is_noticed(
    fault: str, error: type[Exception], said: str, client: Any, landing_bucket: str, server: SftpServer, folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (folder / "kits.csv").write_bytes(LARGE)
    monkeypatch.setattr(sftp_session, "ANSWER_SECONDS", 1.0)
    place = sftp.place(login(server), f"/{folder.name}")
    server.fault = lambda offset: fault if offset >= 4 * 1024 * 1024 else ""
    with pytest.raises(error, match=said):
        send(client, landing_bucket, place)
    assert nothing_landed(client, landing_bucket)
    server.fault = lambda _: ""
    assert send(client, landing_bucket, place).sha256 == hashlib.sha256(LARGE).hexdigest()  # a new connection


def test_a_file_that_somebody_writes_to_on_an_sftp_server_is_noticed(server: SftpServer, folder: Path) -> None:
    path = folder / "kits.csv"
    path.write_bytes(LARGE)
    with (sftp.place(login(server), f"/{folder.name}") / "kits.csv").open() as opened:
        opened.file.read(10)
        os.utime(path, (1_000_000_000, 1_000_000_000))
        with pytest.raises(DataError, match=r"changed while it was read: expected .* got .*2001-09-09 01:46:40"):
            opened.refuse_changed()
        path.unlink()
        with pytest.raises(DataError, match="got no such file"):
            opened.refuse_changed()


def test_all_tables_of_a_run_are_read_over_one_connection(server: SftpServer, folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for n in range(9):
        (folder / f"kits{n}.csv").write_bytes(CONTENT)
    before = server.connections
    own = login(server, passphrase=SecretStr("one of its own"))
    with ThreadPoolExecutor(9) as pool:
        sums = list(pool.map(lambda n: checksum(sftp.place(own, f"/{folder.name}") / f"kits{n}.csv"), range(9)))
    assert sums == [hashlib.sha256(CONTENT).hexdigest()] * 9
    assert server.connections == before + 1


def test_an_unknown_sftp_server_is_refused_with_its_fingerprint(
    server: SftpServer, folder: Path, tmp_path: Path
) -> None:
    other = server.known_hosts.split()[0] + " " + server.key.export_public_key().decode()
    for known in (None, other):
        with pytest.raises(ConfigurationError) as caught:
            sftp.place(login(server, known_hosts=known), f"/{folder.name}")
        said = str(caught.value)
        assert said.startswith(f"sftp://{USER}@127.0.0.1:{server.port}: its host key is unknown")
        assert server.host_key.get_fingerprint() in said
        assert f"set CXM_SFTP_KNOWN_HOSTS='{server.known_hosts.strip()}'" in said
    file = tmp_path / "known_hosts"
    file.write_text(server.known_hosts)
    assert sftp.place(login(server, known_hosts=str(file)), f"/{folder.name}").entries() == []
    with pytest.raises(ConfigurationError, match="CXM_SFTP_KNOWN_HOSTS=/nowhere: cannot be read"):
        sftp.place(login(server, known_hosts="/nowhere"), "/")


def test_who_logs_in_to_an_sftp_server_is_what_the_settings_say(server: SftpServer, folder: Path) -> None:
    assert sftp.place(login(server, secret=SecretStr(PASSWORD)), f"/{folder.name}").entries() == []
    one_line = SecretStr(server.private_key.replace("\n", "\\n"))  # as a form in the Prefect UI keeps it
    assert sftp.place(login(server, secret=one_line), f"/{folder.name}").entries() == []
    for wrong in (None, SecretStr("wrong horse")):
        with pytest.raises(ConfigurationError, match=r"refuses the login; set CXM_SFTP_SECRET") as caught:
            sftp.place(login(server, secret=wrong), "/")
        assert "horse" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="its private key cannot be read"):
        sftp.place(login(server, secret=SecretStr("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")), "/")
    with pytest.raises(InfrastructureError, match=r"127\.0\.0\.1 failed .*check address and network"):
        sftp.place(sftp_session.Login("127.0.0.1", 1, USER), "/")
    with pytest.raises(ConfigurationError, match="no such host"):
        sftp.place(sftp_session.Login("no-such-host.invalid", 22, USER), "/")


def test_an_address_of_an_sftp_server_is_read_as_it_is_written() -> None:
    parse = sftp_session.parse
    assert parse("sftp://a@h/in/b c") == (sftp_session.Login("h", 22, "a"), "/in/b c")
    assert parse("sftp://h:2222/~/in", user="b") == (sftp_session.Login("h", 2222, "b"), "in")
    assert parse("sftp://a@[::1]:22/~") == (sftp_session.Login("::1", 22, "a"), ".")
    assert parse("sftp://a@h") == (sftp_session.Login("h", 22, "a"), "/")
    with pytest.raises(ConfigurationError, match=r"names no user; .*CXM_SFTP_USER"):
        parse("sftp://h/in")
    with pytest.raises(ConfigurationError, match="holds a password") as caught:
        parse("sftp://a:geheim@h/in")  # pragma: allowlist secret
    assert "geheim" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no address of a folder"):
        parse("sftp:///in")


@pytest.mark.soak
def test_memory_does_not_grow_with_a_remote_file(client: Any, bucket: str, server: SftpServer, folder: Path) -> None:
    import tracemalloc

    large = LARGE + LARGE[LARGE.index(b"\n") + 1 :] * 9  # 58 MB
    (folder / "kits.csv").write_bytes(large)
    for place in (on_s3(client, bucket, folder), sftp.place(login(server), f"/{folder.name}")):
        tracemalloc.start()
        try:
            assert inspect(place / "kits.csv", table()).bytes == len(large)
            assert tracemalloc.get_traced_memory()[1] < 40_000_000
        finally:
            tracemalloc.stop()


def test_what_was_loaded_is_moved_or_deleted_and_what_was_written_since_is_left(
    client: Any, bucket: str, server: SftpServer, folder: Path
) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (folder / name).write_bytes(name.encode())
        client.put_object(Bucket=bucket, Key=f"in/{name}", Body=name.encode())
    for place in (s3_place.place(client, f"s3://{bucket}/in"), sftp.place(login(server), f"/{folder.name}")):
        a, b, c = place.entries()
        (folder / "b.csv").write_bytes(b"another delivery")
        client.put_object(Bucket=bucket, Key="in/b.csv", Body=b"another delivery")
        assert place.dispose([a, b], "done/20261127_120000") == 1
        assert place.dispose([a, b], "done/20261127_120000") == 0  # done twice
        assert place.dispose([c]) == 1
        assert [entry.name for entry in place.entries()] == ["b.csv", "done/"]
        (folder / "b.csv").write_bytes(b"b.csv")
    moved = client.get_object(Bucket=bucket, Key="in/done/20261127_120000/a.csv")["Body"].read()
    assert moved == (folder / "done" / "20261127_120000" / "a.csv").read_bytes() == b"a.csv"
