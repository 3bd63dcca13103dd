"""Bad rows set aside: for any files, published + set aside = file; nothing bad is published and nothing good is lost, also after
a kill, an undo and a replay. This module decides independently, row by row in Python, which rows are bad."""

from __future__ import annotations

import csv
import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flows import lease
from flows.clients import s3
from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.contract.person import key_of, reach
from flows.contract.read import read_source
from flows.errors import DataError
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps import forget
from flows.steps.bad_rows import find
from flows.steps.land import land
from flows.steps.load import load
from flows.steps.provision import provision_warehouse
from flows.steps.publish import RowsToSetAside, SetAside, publish, quarantine
from flows.steps.reconcile import reconcile
from flows.steps.replay import restore_landed as landed_before
from flows.steps.undo import recover, undo
from tests.flow.test_ledger_machine import Killed, Life, Mortal

pytestmark = pytest.mark.xdist_group("flow")
Row = tuple[str, ...]
Files = dict[str, list[Row]]
Lines = dict[str, list[str]]
_counter = itertools.count(1)

whole = st.sampled_from(["1", "2", "3", " 01", "+2", "4", "x", "1.5", "9" * 39])
HOSPITALS = st.lists(st.tuples(whole, st.sampled_from(["", "10", "-1", "1e400", "2.5"])), min_size=1, max_size=6)
WARDS = st.lists(st.tuples(whole, st.one_of(st.just(""), whole)), min_size=1, max_size=6)
SEEN = st.sampled_from(["", "2018-02-28", "2018-02-30", "0001-01-01", " 2018-03-01"])
VISITS = st.lists(st.tuples(whole, SEEN, st.sampled_from(["", "Dr A", "Dr Who"])), min_size=1, max_size=8)
FILES = st.fixed_dictionaries({"hospitals": HOSPITALS, "wards": WARDS, "visits": VISITS})
# Broken lines, each put before a row, the rest after the last.
NO_RECORDS = ["", "1", '"2', '3,"', '1,"x"y,', "1,2,3,4,5", ",,,,"]
LINES = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from(NO_RECORDS), max_size=3) for name in ("hospitals", "wards", "visits")}
)
NONE: Lines = {"hospitals": [], "wards": [], "visits": []}


def number(text: str) -> int | None:
    """Return the whole number that a text holds, or None."""
    result = text.strip()
    return int(result) if result.lstrip("+").isdigit() and len(result) < 19 else None


def is_day(text: str) -> bool:
    """Return whether a text is a day that staging can hold."""
    try:
        return date.fromisoformat(text).year >= 1582
    except ValueError:
        return False


def own_rules(table: str, rows: Sequence[Row]) -> list[set[str]]:
    """Return which rules each row breaks by itself or with others of its table."""
    broken: list[set[str]] = [set() for _ in rows]
    key = {"hospitals": "HOSPITAL_ID", "wards": "WARD_ID", "visits": "WARD"}[table]
    times = Counter(number(row[0]) for row in rows)
    for result, row in zip(broken, rows, strict=True):
        if number(row[0]) is None:
            result.add(f"number({key})")
        elif table != "visits" and times[number(row[0])] > 1:
            result.add(f"unique({key})")
        if table == "hospitals" and row[1] == "1e400":
            result.add("number(BEDS)")
        if table == "hospitals" and row[1] == "-1":
            result.add("between(BEDS)")
        if table == "wards" and row[1] and number(row[1]) is None:
            result.add("number(HOSPITAL)")
        if table == "visits" and row[1].strip() and not is_day(row[1].strip()):
            result.add("date(SEEN_ON)")
        if table == "visits" and row[2] == "Dr Who":
            result.add("regex(DOCTOR)")
    return broken


def expected(files: Files) -> dict[str, list[set[str]]]:
    """Return table → for each row the rules that it breaks in the end: its own, or that it refers to nothing published."""
    broken = {table: own_rules(table, rows) for table, rows in files.items()}
    for child, column, at, parent in (("wards", "HOSPITAL", 1, "hospitals"), ("visits", "WARD", 0, "wards")):
        there = {number(row[0]) for row, bad in zip(files[parent], broken[parent], strict=True) if not bad}
        for row, bad in zip(files[child], broken[child], strict=True):
            if not bad and row[at].strip() and number(row[at]) not in there:
                bad.add(f"relationship({column})")
    return broken


def write(path: Path, header: Sequence[str], rows: Sequence[Row], lines: Sequence[str]) -> None:
    """Write a file of these rows, with each of the lines before one of them and the rest at the end."""
    left = list(lines)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            if left:
                file.write(left.pop(0) + "\n")
            writer.writerow(row)
        file.writelines(line + "\n" for line in left)


def numbered(rows: int, lines: int) -> list[int]:
    """Return the line numbers of the broken lines in a file that `write` wrote."""
    before = [2 + 2 * n for n in range(min(lines, rows))]
    return before + [2 + rows + n for n in range(rows, lines)]


@dataclass(frozen=True)
class Bench:
    """The steps of a run over three files, on the running stack."""

    settings: Settings
    source: Source
    folder: Path
    connection: Any

    @contextmanager
    def mortal(self, life: Life) -> Iterator[Ledger]:
        """Yield a ledger whose connection ends with the life, and its open transaction with it."""
        from flows import blocks

        with blocks.snowflake(self.settings, self.settings.loader_role, {"step": "test"}) as connection:
            yield Ledger(Mortal(connection, life), self.settings.database, self.source.name)  # type: ignore[arg-type]

    def ledger(self) -> Ledger:
        return Ledger(self.connection, self.settings.database, self.source.name)

    @property
    def client(self) -> Any:
        from flows import blocks

        return blocks.s3_client(self.settings)

    def info(self) -> RunInfo:
        n = next(_counter)
        return RunInfo(f"2027{n:04d}_000000", f"run-{n}", holder=f"{os.uname().nodename}/4194304/{n}.00")

    def load(self, files: Files, lines: Lines = NONE) -> RunInfo:
        """Land and load a batch of these files, with broken lines in them; it has no verdict yet."""
        info, ledger = self.info(), self.ledger()
        holder, _ = lease.take(ledger, info, 10)
        stored = partial(s3.etags, self.client, self.settings.bucket)
        for table in self.source.tables:
            path = self.folder / table.file
            write(path, table.header, files[table.name], lines[table.name])
            landed = land(self.client, self.settings.bucket, self.source, table, path, info.batch_id, None, True)
            load(ledger.connection, self.source, table, landed, holder, ledger.database, stored)
        return holder

    def bad(self, files: Files) -> RowsToSetAside:
        """Return what Great Expectations counts: each rule by itself, over all rows."""
        counted = {
            table: dict(Counter(rule for rules in own_rules(table, rows) for rule in rules))
            for table, rows in files.items()
        }
        return RowsToSetAside(self.source, tuple(t.name for t in self.source.tables), counted)

    def publish(self, info: RunInfo, files: Files, ledger: Ledger | None = None) -> tuple[SetAside, ...]:
        return publish(ledger or self.ledger(), info, [t.raw_name for t in self.source.tables], self.bad(files))

    def rows(self, suffix: str, batch: str, columns: str = "_SOURCE_ROW_NUMBER") -> dict[str, list[Any]]:
        result: dict[str, list[Any]] = {}
        for table in self.source.tables:
            sql = f"SELECT {columns} FROM RAW.{table.raw_name}{suffix} WHERE _BATCH_ID = '{batch}' ORDER BY _SOURCE_ROW_NUMBER"
            result[table.name] = [row if len(row) > 1 else row[0] for row in run(self.ledger().connection, sql).rows]
        return result

    def everywhere(self, batch: str) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        return self.rows("", batch), self.rows("_REJECTED", batch)


@pytest.fixture(scope="module")
def bench(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    from flows import blocks

    source = read_source(Path(__file__).parent / "aside.odcs.yaml")
    with blocks.snowflake(settings, "ACCOUNTADMIN", {"step": "test"}) as connection:
        provision_warehouse(connection, settings, [source])
    with blocks.snowflake(settings, settings.loader_role, {"step": "test"}) as connection:
        yield Bench(settings, source, tmp_path_factory.mktemp("aside"), connection)


def check(bench: Bench, files: Files, moments: int, lines: Lines = NONE) -> None:
    """Take one batch through load, a kill, the verdict, undo and replay."""
    bad = expected(files)
    good = {t: [n for n, rules in enumerate(of, 1) if not rules] for t, of in bad.items()}
    aside = {t: [(n, "; ".join(sorted(rules))) for n, rules in enumerate(of, 1) if rules] for t, of in bad.items()}
    anything = any(rules for of in bad.values() for rules in of) or any(lines.values())
    info = bench.load(files, lines)
    none = {t: list(range(1, len(of) + 1)) for t, of in lines.items()}
    whole_file = {t: list(range(1, len(rows) + 1)) for t, rows in files.items()}

    total = {t: len(rows) + len(lines[t]) for t, rows in files.items()}
    too_many = any(not good[t] or len(aside[t]) + len(lines[t]) > 0.9 * total[t] for t in files) and anything
    with suppress(Killed, DataError), bench.mortal(Life(moments)) as dying:
        bench.publish(info, files, dying)
    entries = bench.ledger().entries(info.batch_id)
    if {e.status for e in entries} == {"loaded"}:  # killed before COMMIT: as if nothing had happened
        assert bench.everywhere(info.batch_id) == (whole_file, none)
    if too_many:
        with pytest.raises(DataError, match=r"more than the contract sets aside|less than the 1 rows"):
            bench.publish(info, files)
        assert bench.everywhere(info.batch_id) == (whole_file, none)
        quarantine(bench.ledger(), info, "too many")
        assert not [
            d for d in reconcile(bench.ledger(), bench.client, bench.settings.bucket, bench.source) if "rows" in d.kind
        ]
        shown = {(r.table, r.row) for r in find(bench.ledger(), bench.source, info.batch_id, bench.source.tables)}
        assert {(t, n) for t, of in bad.items() for n, r in enumerate(own_rules(t, files[t]), 1) if r} <= shown
        lease.give_back(bench.ledger(), info, closed=True)
        return

    def judged() -> None:
        assert bench.rows("", info.batch_id) == good
        rows = bench.rows("_REJECTED", info.batch_id, "_SOURCE_ROW_NUMBER, _RULES")
        assert {t: sorted((n, "; ".join(sorted(r.split("; ")))) for n, r in of) for t, of in rows.items()} == {
            t: sorted([*rows, *((n, "record") for n in none[t])]) for t, rows in aside.items()
        }
        rows = bench.rows("_REJECTED", info.batch_id, "_REJECTED_LINE, _REJECTED_TEXT, _RULES")
        assert {t: [(int(n), text or "") for n, text, rule in of if rule == "record"] for t, of in rows.items()} == {
            t: list(zip(numbered(len(files[t]), len(of)), of, strict=True)) for t, of in lines.items()
        }
        entries = bench.ledger().entries(info.batch_id)
        assert {e.status for e in entries} == {"validated"}
        for entry in entries:
            name = bench.source.table(entry.table).name
            if ".broken." in str(entry.key):
                assert {entry.records, entry.rows_loaded, entry.rows_set_aside} == {len(lines[name])}
                continue
            assert (entry.records, entry.rows_loaded) == (len(files[name]), len(files[name]))
            assert entry.rows_set_aside == len(aside[name])
        assert sum(e.records or 0 for e in entries) == sum(total.values())
        assert reconcile(bench.ledger(), bench.client, bench.settings.bucket, bench.source) == ()

    published = bench.publish(info, files)
    assert {(rows.table, rows.rows, rows.of) for rows in published} == {
        (t, len(rows) + len(lines[t]), total[t]) for t, rows in aside.items() if rows or lines[t]
    }
    judged()
    assert bench.publish(info, files) == published  # the answer was lost, and the task tried again
    shown = [
        (r.table, r.row, "; ".join(sorted(r.rules)))
        for r in find(bench.ledger(), bench.source, info.batch_id, bench.source.tables)
    ]
    of_lines = [(t, n, "record") for t, of in lines.items() for n in numbered(len(files[t]), len(of))]
    assert sorted(shown) == sorted([*((t, n, rules) for t, rows in aside.items() for n, rules in rows), *of_lines])
    assert "Dr" not in str(shown)

    nothing: dict[str, list[Any]] = {t: [] for t in files}
    undo(bench.ledger(), info.batch_id, info, "test")
    assert bench.everywhere(info.batch_id) == (nothing, nothing)
    assert reconcile(bench.ledger(), bench.client, bench.settings.bucket, bench.source) == ()

    stored = partial(s3.etags, bench.client, bench.settings.bucket)
    for _ in range(2):  # after an undo, and over existing rows
        landed = landed_before(bench.ledger(), bench.client, bench.settings.bucket, bench.source, info.batch_id, info)
        for table in bench.source.tables:
            again = landed[table.name]
            ledger = bench.ledger()
            load(ledger.connection, bench.source, table, again, info, ledger.database, stored, replay=True)
        assert bench.everywhere(info.batch_id) == (whole_file, none)
        bench.publish(info, files)
        judged()
    lease.give_back(bench.ledger(), info, closed=True)


def explore(bench: Bench, examples: int) -> None:
    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=(Phase.generate,),  # shrinking a failure would take minutes
    )
    @given(files=FILES, moments=st.integers(0, 60), lines=LINES)
    def any_files(files: Files, moments: int, lines: Lines) -> None:
        check(bench, files, moments, lines)

    any_files()


ROUNDED: Files = {  # 1.5 does not count as a second 2
    "hospitals": [("1.5", ""), ("+2", ""), ("1", "1e400")],
    "wards": [("1", "2"), ("2", "1.5")],
    "visits": [("1", "", "")],
}
CHAIN: Files = {
    "hospitals": [("1", "10"), ("2", "-1"), ("3", "")],
    "wards": [("1", " 01"), ("2", "2"), ("3", "")],
    "visits": [("1", "2018-02-28", "Dr A"), ("2", "", ""), (" 03", "", ""), ("1", "2018-02-30", "Dr Who")],
}


def test_rows_that_point_at_rows_set_aside_follow_them_to_the_end_of_the_chain(bench: Bench) -> None:
    assert [len([r for r in of if r]) for of in expected(CHAIN).values()] == [1, 1, 2]
    check(
        bench, CHAIN, 17, {"hospitals": ["", '1,"x'], "wards": [], "visits": ['2,"', "1", "1,2,3,4,5", '"x"y', ",,,"]}
    )


def test_a_person_is_forgotten_among_rows_set_aside_and_lines_that_are_no_record(bench: Bench) -> None:
    lines = {"hospitals": [], "wards": [], "visits": ['2,"Dr Who', "1"]}
    info = bench.load(CHAIN, lines)
    bench.publish(info, CHAIN)
    client, bucket, ledger = bench.client, bench.settings.bucket, bench.ledger()
    start = key_of(bench.source, "visits.doctor")
    found = reach([bench.source], [start])
    person = forget.search({"aside": ledger}, client, bucket, found, {start: {("Dr Who",)}})
    batch = [(landed, of.records) for landed, of in person.objects["ASIDE_VISITS"] if info.batch_id in landed.key]
    assert {landed.key.rsplit("/", 1)[1]: records for landed, records in batch} == {
        "aside_visits.csv.zst": 1,
        "aside_visits.broken.csv.zst": 1,
    }
    forget.forget_objects(client, bucket, person, lambda _: None)
    forget.forget_rows(ledger, person, partial(lease.fenced, ledger, info), lambda _: None)
    left = {**CHAIN, "visits": CHAIN["visits"][:-1]}
    for again in (False, True):
        if again:
            stored = partial(s3.etags, client, bucket)
            for name, landed in landed_before(ledger, client, bucket, bench.source, info.batch_id, info).items():
                load(
                    ledger.connection,
                    bench.source,
                    bench.source.table(name),
                    landed,
                    info,
                    ledger.database,
                    stored,
                    True,
                )
            bench.publish(info, left)
        columns = "DOCTOR, _REJECTED_TEXT, _SOURCE_ROW_NUMBER"
        of_visits = replace(bench, source=replace(bench.source, tables=bench.source.tables[2:]))
        rows = of_visits.rows("_REJECTED", info.batch_id, columns)["visits"]
        assert "Dr Who" not in str(rows)
        assert [text for _, text, _ in rows if text] == ["1"]
        assert len(bench.rows("", info.batch_id)["visits"]) + len(rows) == len(left["visits"]) + 1
        assert reconcile(ledger, client, bucket, bench.source) == ()
    lease.give_back(ledger, info, closed=True)


def test_published_rows_that_would_point_at_what_is_gone_are_judged_again(bench: Bench) -> None:
    files: Files = {"hospitals": [("1", ""), ("2", "")], "wards": [("1", "2")], "visits": [("1", "", "")]}
    info = bench.load(files)
    bench.publish(info, files)
    lease.give_back(bench.ledger(), info, closed=True)
    of_hospitals = replace(bench, source=replace(bench.source, tables=bench.source.tables[:1]))
    changed: Files = {"hospitals": [("1", ""), ("2", "-1")]}  # ward 1, whose file did not change, is in hospital 2
    info = of_hospitals.load(changed)
    bad = RowsToSetAside(bench.source, ("hospitals",), {"hospitals": {"between(BEDS)": 1}})
    with pytest.raises(
        DataError,
        match=r"wards: its file did not change, and 1 of its published rows point at rows that this batch takes away",
    ):
        publish(bench.ledger(), info, ["ASIDE_HOSPITALS"], bad, bench.source)
    assert of_hospitals.everywhere(info.batch_id) == ({"hospitals": [1, 2]}, {"hospitals": []})
    quarantine(bench.ledger(), info, "ward 1 would be in no hospital")
    lease.give_back(bench.ledger(), info, closed=True)
    changed = {"hospitals": [("1", ""), ("2", ""), ("3", "-1")]}
    info = of_hospitals.load(changed)
    (aside,) = publish(bench.ledger(), info, ["ASIDE_HOSPITALS"], bad, bench.source)
    assert (aside.rows, aside.of) == (1, 3)
    lease.give_back(bench.ledger(), info, closed=True)


def test_a_new_column_is_set_aside_too_also_after_a_kill_between_alter_and_copy(bench: Bench) -> None:
    table = replace(bench.source.tables[0], on_new_column="add")
    source = replace(bench.source, tables=(table,))
    path = bench.folder / table.file
    path.write_text("id,beds,floor\n1,2,first\n2,-1,second\n1,2\n", encoding="utf-8")
    stored = partial(s3.etags, bench.client, bench.settings.bucket)
    info = bench.info()
    holder, _ = lease.take(bench.ledger(), info, 10)
    sent = land(bench.client, bench.settings.bucket, source, table, path, info.batch_id, None, True)

    def columns(name: str) -> set[str]:
        rows = run(
            bench.connection, f"SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{name}'"
        ).rows
        return {str(column) for (column,) in rows}

    from flows import blocks

    with blocks.snowflake(bench.settings, "ACCOUNTADMIN", {"step": "test"}) as admin:
        for raw in (table.raw_name, table.rejected.raw_name):
            run(admin, f"GRANT OWNERSHIP ON TABLE RAW.{raw} TO ROLE {bench.settings.loader_role} COPY CURRENT GRANTS")

    class Last(Mortal):  # dies as soon as it begins to copy
        def cursor(self) -> Any:
            return Last(self._real.cursor(), self._life)

        def execute(self, sql: str, *args: Any, **kwargs: Any) -> Any:
            if "COPY INTO" in sql:
                raise Killed
            return self._real.execute(sql, *args, **kwargs)

    with pytest.raises(Killed), blocks.snowflake(bench.settings, bench.settings.loader_role, {"step": "test"}) as dying:
        load(Last(dying, Life(None)), source, table, sent, holder, bench.settings.database, stored)  # type: ignore[arg-type]
    assert "FLOOR" in columns(table.raw_name) & columns(table.rejected.raw_name)
    assert run(
        bench.connection, f"SELECT COUNT(*) FROM RAW.{table.raw_name} WHERE _BATCH_ID = '{info.batch_id}'"
    ).rows == ((0,),)
    lease.give_back(bench.ledger(), holder, closed=False)

    again = bench.info()
    holder, left = lease.take(bench.ledger(), again, 10)
    recover(bench.ledger(), bench.client, bench.settings.bucket, source, holder, left)
    assert {e.status for e in bench.ledger().entries(info.batch_id)} == {"undone"}
    sent = land(bench.client, bench.settings.bucket, source, table, path, again.batch_id, None, True)
    load(bench.connection, source, table, sent, holder, bench.settings.database, stored)
    bad = RowsToSetAside(source, ("hospitals",), {"hospitals": {"between(BEDS)": 1}})
    (aside,) = publish(bench.ledger(), holder, [table.raw_name], bad, source)
    assert (aside.rows, aside.of, aside.rules) == (2, 3, (("between(BEDS)", 1), ("record", 1)))
    of_batch = f"WHERE _BATCH_ID = '{again.batch_id}'"
    assert run(bench.connection, f"SELECT HOSPITAL_ID, FLOOR FROM RAW.{table.raw_name} {of_batch}").rows == (
        ("1", "first"),
    )
    rejected = (
        f"SELECT HOSPITAL_ID, FLOOR, _REJECTED_TEXT FROM RAW.{table.rejected.raw_name} {of_batch} ORDER BY _RULES"
    )
    assert run(bench.connection, rejected).rows == (("2", "second", None), (None, None, "1,2"))
    main, lines = sorted(bench.ledger().entries(again.batch_id), key=lambda e: e.rows_set_aside == e.rows_loaded)
    assert (main.records, main.rows_loaded, main.rows_set_aside) == (2, 2, 1)
    assert (lines.records, lines.rows_loaded, lines.rows_set_aside) == (1, 1, 1)
    undo(bench.ledger(), again.batch_id, holder, "test")
    lease.give_back(bench.ledger(), holder, closed=True)
    differing = [
        d for d in reconcile(bench.ledger(), bench.client, bench.settings.bucket, bench.source) if "rows" in d.kind
    ]
    assert not differing


def test_any_files_are_published_but_for_their_bad_rows(bench: Bench) -> None:
    explore(bench, 1)


@pytest.mark.soak
def test_many_files_are_published_but_for_their_bad_rows(bench: Bench) -> None:
    check(bench, ROUNDED, 40)
    explore(bench, 12)
