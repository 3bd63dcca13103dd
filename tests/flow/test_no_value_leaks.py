"""Values planted in columns about people are found only where data is kept, whatever goes wrong with them."""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.contract import sync
from flows.settings import PROJECT, Settings
from tests.conftest import run_flow
from tests.flow.conftest import project_copy

pytestmark = [pytest.mark.xdist_group("flow"), pytest.mark.soak]

HEADER = "person,name,phone,city,height,born,seen,smokes,ward"
PEOPLE = """\
zqxvkey1,Ann Zqxvgood,770010001,Rome,1.770177011,1977-01-11,2026-01-01 10:11:12,true,A
zqxvkey2,Bob Zqxvgood,770010002,Oslo,1.770177012,1977-01-12,2026-01-01 10:11:13,false,B
"""
BROKEN = """\
zqxvtwice,Ann Zqxvtwice,770033077,Rome,1.770177013,1977-01-13,2026-01-01 10:11:14,true,A
zqxvtwice,Ann Zqxvtwice,770033077,Rome,1.770177014,1977-01-14,2026-01-01 10:11:15,true,A
,Zqxvname is wrong,zqxvphone,Zqxvcity,zqxvheight,zqxvborn,zqxvseen,zqxvsmokes,plainward
zqxvlarge,Eve Zqxvlarge,77000555555,Zqxvothercity,-77.10577017,1977-77-15,2026-77-01 10:11:16,maybezqxv,C
zqxvempty,,,,,,,,
"""
# What is planted, as it appears in any text, in either letter case. No id may hold one by chance: a UUIDv7 held "1977-77".
MARKERS = (
    b"zqxv",
    b"770010001",
    b"770010002",
    b"770010009",
    b"770033077",
    b"770005555",
    b"1.77017701",
    b"77.10577017",
    b"1977-01-1",
    b"1977-77-15",
    b"2026-01-01 10:11:1",
)


class Receiver(BaseHTTPRequestHandler):
    """Takes OpenLineage events."""

    def do_POST(self) -> None:  # the name that http.server calls
        self.server.got.append(self.rfile.read(int(self.headers["Content-Length"])))  # type: ignore[attr-defined]
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.got = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("CXM_OPENLINEAGE_NAMESPACE", "hunt")
        yield server.got  # type: ignore[attr-defined]
        server.shutdown()


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A copy of the project with the contract of people; the flows read the copy."""
    from flows import marts
    from flows import settings as own

    def add(copy: Path) -> None:
        shutil.copy(Path(__file__).with_name("people.odcs.yaml"), copy / "data_dictionary")
        shutil.copy(PROJECT / "prefect.yaml", copy)
        sync.check_standard(copy)

    with project_copy(settings, tmp_path / "project", add, marts, own) as copy:
        yield copy


def files(folder: Path, people: str = PEOPLE, visits: str = "zqxvkey1,Dr Zqxvgood\n", header: str = HEADER) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "people.csv").write_bytes(f"{header}\n{people}".encode("utf-8", "surrogateescape"))
    (folder / "visits.csv").write_text(f"person,doctor\n{visits}", encoding="utf-8")
    return folder


def lines_with(data: bytes) -> Iterator[str]:
    """Yield each place where a marker occurs, with the text around it."""
    low = data.lower()
    for marker in MARKERS:
        at = -1
        while (at := low.find(marker, at + 1)) >= 0:
            yield data[max(0, at - 100) : at + 60].decode("utf-8", "replace")


def test_a_personal_value_is_nowhere_but_where_data_is(
    settings: Settings,
    project: Path,
    received: list[bytes],
    query: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.cli import main
    from flows.cli.app import _deliver
    from flows.errors import CxmError, DataError
    from flows.run import PipelineError

    for name in ("flows", "prefect", "great_expectations"):
        caplog.set_level(logging.DEBUG, name)
    written: dict[str, bytes] = {}
    data = tmp_path / "files"

    def cxm(*words: str) -> str:
        done = CliRunner().invoke(main, words)
        written[f"cxm {' '.join(words)}"] = (done.output + "".join(map(str, done.exc_info or ()))).encode()
        return done.output

    def load(*messages: str, kind: type[CxmError] = PipelineError, **changed: str) -> str:
        """Run the pipeline on changed files; return the batch."""
        files(data, **changed)
        if not messages:
            return str(run_flow("pipeline", source="people", data=str(data)).batch_id)
        with pytest.raises(kind) as raised:
            run_flow("pipeline", source="people", data=str(data))
        said = str(raised.value)
        written[f"message {len(written)}"] = said.encode()
        for message in messages:
            assert message in said
        return str(getattr(getattr(raised.value, "summary", None), "batch_id", ""))

    run_flow("provision")
    good = load()

    # Rules of each kind; rows set aside, and too many of them.
    bad = load(
        "unique(PERSON) PERSON: 2 of 5 rows: people.csv.zst: row 1, row 2",
        "not_null(PERSON) PERSON: 1 of 5 rows: people.csv.zst: row 3",
        "number(PHONE) PHONE: 1 of 5 rows", "between(PHONE) PHONE: 1 of 5 rows", "unique(NAME, PHONE)", "regex(NAME)",
        "in_set(CITY)", "new_values(CITY) CITY: 2 new values", "number(HEIGHT)", "between(HEIGHT)", "date(BORN)",
        "timestamp(SEEN)", "boolean(SMOKES)", "regex(WARD) WARD: 1 of 5 rows: people.csv.zst: row 3 (WARD is 'plainward')",
        people=BROKEN,
    )  # fmt: skip
    cxm("quarantine", "show", bad, "--source", "people", "--json")
    assert "plainward" in cxm("quarantine", "show", bad, "--source", "people")
    aside = load(visits='zqxvkey1,Dr Zqxvgood\nzqxvnobody,zqxvdoctor\nzqxvkey1,Dr "Zqxvbroken\nzqxvkey1,Zqxv,many\n')
    cxm("quarantine", "show", aside, "--source", "people", "--json")
    cxm("check", "--source", "people", "--data", str(data))
    load("more than the contract sets aside", visits="zqxvnobody,zqxvdoctor\n" * 20 + "zqxvkey2,Dr Zqxvgood\n")

    # Files that landing refuses.
    load("10 fields, expected 9", people=PEOPLE + "zqxvlong,Ann Zqxvlong,1,Rome,1,,,,A,zqxvtoomany\n")
    load("`header: false`", header="zqxvfirst,Ann Zqxvfirst,770010009,New City,1.77017701,1977-01-19,,true,A")
    cxm("check", "--source", "people", "--data", str(data))
    files(data, people=BROKEN)
    cxm("check", "--source", "people", "--data", str(data))
    cxm("check", "--source", "people", "--data", str(data), "--json")

    # dbt: a model that casts text that is not a number.
    model = project / "dbt" / "cxm_medtech" / "models" / "staging" / "people" / "casts_a_name.sql"
    model.write_text(
        "{{ config(materialized='table') }}\nselect name::number as n from {{ source('people', 'people') }}\n"
    )
    from flows.marts import BuildError

    with pytest.raises((BuildError, DataError)) as raised:
        run_flow("dbt_build", select="casts_a_name")
    written["build"] = str(raised.value).encode()
    assert "Numeric value '…' is not recognized" in str(raised.value)

    # COPY, which quotes a value that does not fit.
    for type_, message in (("NUMBER(38, 0)", "Numeric value"), ("VARCHAR(3)", "too long")):
        query("ALTER TABLE RAW.PEOPLE_PEOPLE DROP COLUMN NAME")
        query(f"ALTER TABLE RAW.PEOPLE_PEOPLE ADD COLUMN NAME {type_}")
        load(message, people=PEOPLE.replace("Ann", "Eva"))
    query("ALTER TABLE RAW.PEOPLE_PEOPLE DROP COLUMN NAME")
    query("ALTER TABLE RAW.PEOPLE_PEOPLE ADD COLUMN NAME VARCHAR")

    cxm("reconcile", "--source", "people")
    cxm("undo", good, "--source", "people")
    cxm("replay", bad, "--source", "people")
    cxm("batches", "--json")
    cxm("history")
    cxm("contract", "draft", "drafted", str(data / "people.csv"), str(data / "visits.csv"))
    _deliver()

    # Personal values may be in RAW, in what dbt builds from it, and in the objects in S3.
    kept = ("s3", "warehouse")
    for path in sorted(settings.home.rglob("*")):
        if path.is_file() and path.relative_to(settings.home).parts[0] not in kept:
            written[str(path.relative_to(settings.home))] = path.read_bytes()
    for table in ("LOAD_LEDGER", "LOAD_LEASE"):
        written[table] = json.dumps(query(f"SELECT * FROM RAW.{table}"), default=str).encode()
    written["OpenLineage"] = b"\n".join(received)
    written["logs of this process"] = caplog.text.encode()
    found = {name: places for name, text in written.items() if (places := list(lines_with(text)))}
    lines = "\n".join(f"{name}: {place!r}" for name, places in found.items() for place in places[:3])
    assert not found, f"personal values in {len(found)} places:\n{lines}"
