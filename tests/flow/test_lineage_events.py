"""A run's OpenLineage events, as a small receiver gets them (https://openlineage.io/docs/spec/object-model, …/naming)."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flows import lineage_events
from flows.contract.read import read_source
from flows.ledger import RunInfo
from flows.run import PipelineError
from flows.settings import Settings

pytestmark = pytest.mark.xdist_group("flow")
KEY = "a-key-of-the-receiver"


class Receiver(ThreadingHTTPServer):
    """Receives events: `events` and `keys` hold what came, `seconds` is how long an answer takes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.seconds = 0.0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:  # the name that http.server calls
        time.sleep(self.server.seconds)
        assert self.path == "/api/v1/lineage"
        self.server.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.add(self.headers["Authorization"])
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENLINEAGE_URL", server.url)
        monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
        monkeypatch.setenv("CXM_OPENLINEAGE_NAMESPACE", "medtech-cxm")
        yield server
        server.shutdown()


@pytest.mark.soak
def test_a_run_reports_its_start_and_its_outputs_or_its_error(
    settings: Settings, receiver: Receiver, small: Path, run_pipeline: Callable[..., Any]
) -> None:
    summary = run_pipeline(small, force=True)
    start, complete = receiver.events
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    run_id = summary.flow_run_url.rsplit("/", 1)[1]
    for event in (start, complete):
        assert event["run"]["runId"] == run_id
        assert (event["job"]["namespace"], event["job"]["name"]) == ("medtech-cxm", "pipeline.olist")
        assert event["run"]["facets"]["processing_engine"]["name"] == "Prefect"
        assert "sourceCodeLocation" not in event["job"]["facets"], "a remote's address may hold a token"
        assert event["schemaURL"].startswith("https://openlineage.io/spec/")
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", event["eventTime"])
    assert len(complete["inputs"]) == len(complete["outputs"]) == 9
    orders = next(one for one in complete["inputs"] if one["name"].endswith("orders_dataset"))
    assert (orders["namespace"], orders["name"]) == (f"s3://{settings.bucket}", "raw/olist/olist_orders_dataset")
    assert orders["facets"]["version"]["datasetVersion"] == summary.batch_id
    table = next(one for one in complete["outputs"] if one["name"] == f"{settings.database}.RAW.OLIST_ORDERS")
    assert table["namespace"].startswith("snowflake://")
    assert [field["name"] for field in table["facets"]["schema"]["fields"]][:2] == ["ORDER_ID", "CUSTOMER_ID"]
    (got,) = (one for one in summary.tables if one.table == "orders")
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == got.rows_raw > 0
    assert table["outputFacets"]["outputStatistics"]["size"] == got.bytes > 0
    assert receiver.keys == {f"Bearer {KEY}"}

    receiver.events.clear()
    orders_file = small / "olist_orders_dataset.csv"
    orders_file.write_bytes(orders_file.read_bytes().replace(b",delivered,", b",teleported,", 1))
    with pytest.raises(PipelineError):
        run_pipeline(small)
    start, fail = receiver.events
    assert [start["eventType"], fail["eventType"]] == ["START", "FAIL"]
    assert "quarantined: 1 rules failed" in fail["run"]["facets"]["errorMessage"]["message"]


def test_a_receiver_that_is_away_or_slow_costs_a_warning_and_no_run(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    own = settings.model_copy(update={"openlineage_namespace": "medtech-cxm"})
    info = RunInfo("20200101_000000", "01a21f63-55f9-78e0-b47a-d5d377af8022")
    monkeypatch.setattr(lineage_events, "PATIENCE", 0.5)
    monkeypatch.setenv("OPENLINEAGE_URL", receiver.url.replace("//", "//somebody:secret@"))  # pragma: allowlist secret
    receiver.seconds = 2
    caplog.set_level(logging.WARNING, "flows.lineage_events")
    with lineage_events.report_run(own, read_source("olist"), info, "pipeline") as complete:
        monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
        complete({"orders": (1, 1)})
    said = [record.getMessage() for record in caplog.records if record.name == "flows.lineage_events"]
    assert len(said) == 2
    assert "no answer in 0.5 seconds" in said[0]
    assert all("the run goes on" in text for text in said)
    assert "secret" not in caplog.text
    assert KEY not in caplog.text


def test_nothing_is_sent_or_imported_where_it_is_off(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage_events._Run, "tell", lambda *_: pytest.fail("told"))
    with lineage_events.report_run(settings, read_source("olist"), RunInfo("20200101_000000"), "pipeline") as complete:
        complete({})
    assert receiver.events == []


def test_a_part_of_another_run_names_it_and_a_run_that_is_stopped_is_aborted(
    settings: Settings, receiver: Receiver
) -> None:
    own = settings.model_copy(update={"openlineage_namespace": "medtech-cxm"})
    info = RunInfo("20200101_000000", "01a21f63-55f9-78e0-b47a-d5d377af8022")
    above = lineage_events.Parent("01a21f63-55f9-78e0-b47a-d5d377af8023", "backfill.olist")
    with (
        pytest.raises(KeyboardInterrupt),
        lineage_events.report_run(own, read_source("olist"), info, "pipeline", above),
    ):
        raise KeyboardInterrupt
    assert [event["eventType"] for event in receiver.events] == ["START", "ABORT"]
    parent = receiver.events[0]["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == above.run_id
    assert (parent["job"]["namespace"], parent["job"]["name"]) == ("medtech-cxm", "backfill.olist")
