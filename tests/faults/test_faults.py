"""Whatever S3 and the warehouse answer, and if they do not: each row arrives once, and S3, ledger and RAW agree."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.contract.model import Source
from flows.errors import CxmError, InfrastructureError
from flows.lease import holding
from flows.ledger import Ledger
from flows.steps.replay import restore_landed
from flows.steps.retention import archive
from tests.faults import batch
from tests.faults.conftest import Proxied, Waits
from tests.faults.proxy import Fault, Kind, Proxy, Request, Rule, after_copy

CUTS: tuple[Kind, ...] = (
    "reset before",
    "reset mid-request",
    "reset after",
    "reset mid-answer",
    "truncate",
    "slow",
    "refuse",
)


def s3_error(status: int, code: str) -> Fault:
    """Answer as S3 does, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>try again</Message></Error>'
    return Fault("answer", status, {"Content-Type": "application/xml"}, body.encode())


def gs_error(code: str, message: str) -> Fault:
    """Answer an error with HTTP 200, as Snowflake's front end does; codes as `snowflake.connector.network` names them."""
    body = json.dumps({"data": None, "code": code, "message": message, "success": False})
    return Fault("answer", 200, {"Content-Type": "application/json"}, body.encode())


def http_error(status: int) -> Fault:
    return Fault("answer", status, {"Content-Type": "text/plain"}, b"upstream is away")


S3_FAULTS: dict[str, Fault] = {
    "500 InternalError": s3_error(500, "InternalError"),
    "503 SlowDown": s3_error(503, "SlowDown"),
    "503 ServiceUnavailable": s3_error(503, "ServiceUnavailable"),
    **{kind: Fault(kind) for kind in CUTS},
}
WAREHOUSE_FAULTS: dict[str, Fault] = {
    "500": http_error(500),
    "503": http_error(503),
    "429": http_error(429),
    "session token expired": gs_error("390112", "Your session has expired. Please login again."),
    "session gone": gs_error("390111", "Session no longer exists. New login required to access the service."),
    **{kind: Fault(kind) for kind in CUTS},
}


def at_rate(rate: float, fault: Fault, draw: random.Random, within: int, applies: Callable[[Request], bool]) -> Rule:
    """Strike each request with this probability, and in any case one of the first `within` (or 1 / rate, if that is less)."""
    certain = draw.randint(1, min(within, int(1 / rate)))
    seen = 0

    def rule(request: Request) -> Fault | None:
        nonlocal seen
        if not applies(request):
            return None
        seen += 1
        return fault if seen == certain or draw.random() < rate else None

    return rule


def statement(request: Request) -> bool:
    """Return whether the request is a statement; tokens are renewed and sessions ended by other requests."""
    return bool(request.sql)


def anything(_: Request) -> bool:
    return True


def go_round(proxied: Proxied, source: Source) -> None:
    """Move every published object to the archive, and the newest batch's back: HEAD, COPY, DELETE and LIST beside PUT."""
    settings, info = proxied.settings, batch.new_run()
    with batch.connect(settings, "maintenance") as connection:
        ledger = Ledger(connection, settings.database, source.name)
        with holding(ledger, info, settings.lease_minutes) as holder:
            client = batch.s3(settings)
            archive(ledger, client, settings.bucket, holder, days=0)
            newest = max(ledger.published().values(), key=lambda p: p.sequence).batch_id
            restore_landed(ledger, client, settings.bucket, source, newest, holder)


def settle(proxied: Proxied, source: Source, folder: Path, before: list[str], work: Callable[[], None]) -> bool:
    """Do the work under faults and, if it gave up, once more without; check that RAW has the files exactly once and all agree.

    Returns whether the work came through the faults.
    """
    survived = True
    try:
        work()
    except InfrastructureError:  # it gave up with the right class of error: any other fails the test
        survived = False
    proxy = proxied.s3 if proxied.s3.struck else proxied.warehouse
    assert proxy.struck, "no fault struck: the case shows nothing"
    proxied.s3.clear()
    proxied.warehouse.clear()
    if not survived:
        work()
    exactly_once(proxied, source, folder, before)
    return survived


def exactly_once(proxied: Proxied, source: Source, folder: Path, before: list[str]) -> None:
    assert batch.in_raw(proxied.direct, source, before) == batch.read_files(folder, source)
    assert batch.differences(proxied.direct, source) == ()


def cases(faults: dict[str, Fault]) -> list[object]:
    """Return each fault at 10 % for every run of the tests, at 1 and 50 % for the soak."""
    return [
        pytest.param(name, rate, id=f"{name} at {rate:.0%}", marks=[] if rate == 0.1 else [pytest.mark.soak])
        for rate in (0.01, 0.1, 0.5)
        for name in faults
    ]


@pytest.fixture
def folder(tmp_path: Path, source: Source, request: pytest.FixtureRequest) -> Path:
    """Three files that no other case has."""
    batch.write_files(tmp_path / "ward", source, random.Random(request.node.nodeid))
    return tmp_path / "ward"


@pytest.mark.parametrize(("name", "rate"), cases(S3_FAULTS))
def test_each_row_arrives_once_through_faults_of_s3(
    name: str, rate: float, proxied: Proxied, source: Source, folder: Path, waits: Waits
) -> None:
    before = batch.batches_in_raw(proxied.direct, source)
    draw = random.Random(f"s3 {name} {rate}")
    proxied.s3.rule = at_rate(rate, S3_FAULTS[name], draw, 20, anything)

    def work() -> None:
        batch.run_batch(proxied.settings, source, folder, batch.new_run())
        batch.again(lambda: go_round(proxied, source))

    settle(proxied, source, folder, before, work)


@pytest.mark.parametrize(("name", "rate"), cases(WAREHOUSE_FAULTS))
def test_each_row_arrives_once_through_faults_of_the_warehouse(
    name: str, rate: float, proxied: Proxied, source: Source, folder: Path, waits: Waits
) -> None:
    before = batch.batches_in_raw(proxied.direct, source)
    draw = random.Random(f"warehouse {name} {rate}")
    applies = statement if name.startswith("session") else anything
    proxied.warehouse.rule = at_rate(rate, WAREHOUSE_FAULTS[name], draw, 30, applies)
    settle(proxied, source, folder, before, lambda: batch.run_batch(proxied.settings, source, folder, batch.new_run()))


# One fault, at the place where it hurts most --------------------------------------------------------------------------

PLACES: dict[str, tuple[str, Callable[[Request], bool]]] = {
    "PUT": ("s3", lambda r: r.method == "PUT"),
    "login": ("warehouse", lambda r: r.logs_in and r.tag.get("step") == "load"),
    "lease": ("warehouse", lambda r: r.sql.startswith("UPDATE") and r.tag.get("step") == "open"),
    "ledger INSERT": ("warehouse", lambda r: r.sql.startswith("INSERT")),
    "BEGIN": ("warehouse", lambda r: r.sql.startswith("BEGIN") and r.tag.get("step") == "load"),
    "COPY": ("warehouse", lambda r: r.sql.startswith("COPY")),
    "ledger UPDATE": ("warehouse", lambda r: "LOAD_LEDGER" in r.sql[:60] and r.sql.startswith("UPDATE")),
    "COMMIT": ("warehouse", after_copy("COMMIT")),
    "publishing COMMIT": ("warehouse", lambda r: r.sql == "COMMIT" and r.tag.get("step") == "validated"),
}
CRITICAL = ("PUT", "ledger INSERT", "COPY", "COMMIT")


def once(fault: Fault, applies: Callable[[Request], bool]) -> Rule:
    spent = False

    def rule(request: Request) -> Fault | None:
        nonlocal spent
        if spent or not applies(request):
            return None
        spent = True
        return fault

    return rule


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        pytest.param(
            place,
            kind,
            id=f"{kind}, {place}",
            marks=[] if place in CRITICAL and kind == "reset after" else [pytest.mark.soak],
        )
        for place in PLACES
        for kind in ("reset mid-request", "reset after", "truncate")
    ],
)
def test_a_request_that_was_cut_off_is_not_done_twice(
    place: str, kind: Kind, proxied: Proxied, source: Source, folder: Path, waits: Waits
) -> None:
    before = batch.batches_in_raw(proxied.direct, source)
    where, applies = PLACES[place]
    proxy: Proxy = getattr(proxied, where)
    proxy.rule = once(Fault(kind), applies)
    assert settle(
        proxied, source, folder, before, lambda: batch.run_batch(proxied.settings, source, folder, batch.new_run())
    ), "one fault is no reason to give up"


@pytest.mark.parametrize("cut", ["HEAD", "PUT"])
def test_an_answer_that_breaks_off_in_its_headers_is_asked_for_again(
    cut: str, proxied: Proxied, source: Source, folder: Path, waits: Waits
) -> None:
    """Without a body nothing else shows it: half of the headers would pass for all of them."""
    before = batch.batches_in_raw(proxied.direct, source)
    lost = once(Fault("reset after"), lambda r: r.method == "PUT")  # after it, S3 is asked which object the key has
    half = once(Fault("truncate"), lambda r: r.method == cut)
    proxied.s3.rule = lambda request: lost(request) or half(request)
    assert settle(
        proxied, source, folder, before, lambda: batch.run_batch(proxied.settings, source, folder, batch.new_run())
    )


def test_a_kept_session_that_ended_meanwhile_is_replaced_by_a_new_one(proxied: Proxied, source: Source) -> None:
    from flows import blocks

    def session(**tag: str) -> int:
        with blocks.snowflake(proxied.settings, proxied.settings.loader_role, tag, pooled=True) as connection:
            rows = connection.cursor().execute("SELECT CURRENT_SESSION(), 1").fetchone()
            return int(rows[0])

    first = session(step="load", table="trays")
    assert session(step="load", table="notes") == first, "the session is used again"
    gone = WAREHOUSE_FAULTS["session gone"]
    proxied.warehouse.rule = lambda request: gone if request.sql.startswith("ALTER SESSION") else None
    second = session(step="load", table="trays")
    assert second != first
    blocks.close_pool()
    assert session(step="load", table="trays") not in (first, second), "none is kept any more"
    blocks.close_pool()


# Servers that are away ------------------------------------------------------------------------------------------------


def test_waits_between_tries_grow_and_differ(proxied: Proxied, source: Source, folder: Path, waits: Waits) -> None:
    proxied.s3.rule = lambda _: S3_FAULTS["503 SlowDown"]
    client = batch.s3(proxied.settings)
    rounds = []
    for _ in range(2):
        waits.s3.clear()
        with pytest.raises(Exception, match="SlowDown"):
            client.list_objects_v2(Bucket=proxied.settings.bucket)
        rounds.append(list(waits.s3))
    assert [len(r) for r in rounds] == [5, 5]
    assert rounds[0] != rounds[1], "jitter"
    assert all(wait <= 2**n for r in rounds for n, wait in enumerate(r))
    assert max(max(r) for r in rounds) > 2, "they grow"

    spent = 0

    def rule(request: Request) -> Fault | None:
        nonlocal spent
        spent += bool(request.sql)
        return WAREHOUSE_FAULTS["503"] if request.sql and spent % 7 else None

    proxied.warehouse.rule = rule
    waits.warehouse.clear()
    with batch.connect(proxied.settings, "test") as connection:
        for _ in range(3):
            connection.cursor().execute("SELECT 1")
    assert len(waits.warehouse) == 18
    assert max(waits.warehouse) > 2
    assert len(set(waits.warehouse)) > 3, "jitter"


@pytest.mark.parametrize("away", ["s3", "warehouse"])
def test_a_server_that_is_away_ends_the_run_as_infrastructure_and_the_next_run_is_whole(
    away: str, proxied: Proxied, source: Source, folder: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    import snowflake.connector.time_util as connector_time

    real = connector_time.get_time_millis
    monkeypatch.setattr(connector_time, "get_time_millis", lambda: real() * 100)  # two minutes pass in a second
    before = batch.batches_in_raw(proxied.direct, source)
    answer = {"s3": S3_FAULTS["503 SlowDown"], "warehouse": WAREHOUSE_FAULTS["503"]}[away]
    proxy: Proxy = getattr(proxied, away)

    def go_away() -> None:
        proxy.rule = lambda _: answer

    with pytest.raises(CxmError) as failed:
        batch.run_batch(proxied.settings, source, folder, batch.new_run(), opened=go_away)
    assert isinstance(failed.value, InfrastructureError), failed.value
    assert failed.value.exit_code == 5
    proxied.clear()
    batch.run_batch(proxied.settings, source, folder, batch.new_run())
    exactly_once(proxied, source, folder, before)
