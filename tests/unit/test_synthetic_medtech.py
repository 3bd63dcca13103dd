"""Generated files of the systems around the shipments: ids of Olist, the documented distributions, the same bytes for a seed."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.contract.expectations import expectations
from flows.contract.model import Source
from flows.contract.read import read_source
from flows.errors import ConfigurationError
from flows.steps.land import inspect
from flows.synthetic import medtech_numbers as medtech
from flows.synthetic import olist
from flows.synthetic.medtech import DayFile, generate
from flows.synthetic.shipments import Shipments, read_shipments

DAY = date(2018, 3, 1)
# If these change, every generated file has changed: say so in the commit's message.
GOLDEN = {
    "support_tickets": "966923d91af37c44907d0fa401d479e03ae3b094cc565149d51259ddf1be594e",
    "nps_responses": "a7772cc6e68fc8d6c773cf2b7405c90c3bc367a4365a3f87df1830becd0d13be",
    "rep_visits": "5906f28793193fc8d87b55ce8a88896cb4a7f2e8e80ab4d6f38ce563493079b5",
    "device_complaints": "a62c9fc65dd05004d162467c1f5bacd53c8c29dba1ea40e6ef69dd25feb3bf74",
}
Rows = list[dict[str, str]]


def records(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def contents(made: list[DayFile]) -> dict[str, bytes]:
    return {f.path.name: f.path.read_bytes() for f in made}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Olist-shaped files: 5,000 shipments."""
    out = tmp_path_factory.mktemp("olist")
    olist.generate(out, 0.05, tables=["orders", "order_items", "customers", "products", "sellers"])
    return out


@pytest.fixture(scope="module")
def shipments(folder: Path) -> Shipments:
    return read_shipments(folder)


@pytest.fixture(scope="module")
def source() -> Source:
    return read_source("synthetic")


@pytest.fixture(scope="module")
def day(shipments: Shipments, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rows]:
    """One Thursday at scale 300: 95 thousand rows, by table."""
    made = generate(tmp_path_factory.mktemp("synthetic"), shipments, DAY, DAY, scale=300)
    return {f.table: records(f.path) for f in made}


@pytest.fixture(scope="module")
def lateness(folder: Path) -> dict[tuple[str, str], bool]:
    """(account, HCP) → whether their shipment of the 30 days up to `DAY` was late; pairs that had both are left out."""
    hcps = {r["customer_id"]: r["customer_unique_id"] for r in records(folder / olist.FILES["customers"])}
    orders = {r["order_id"]: r for r in records(folder / olist.FILES["orders"])}
    result = defaultdict(set)
    for item in records(folder / olist.FILES["order_items"]):
        order = orders[item["order_id"]]
        delivered = order["order_delivered_customer_date"][:10]
        if delivered and timedelta() <= DAY - date.fromisoformat(delivered) <= timedelta(days=30):
            late = delivered > order["order_estimated_delivery_date"][:10]
            result[item["seller_id"], hcps[order["customer_id"]]].add(late)
    return {pair: late.pop() for pair, late in result.items() if len(late) == 1}


def shares(rows: Rows, column: str) -> dict[str, float]:
    return {value: 100 * n / len(rows) for value, n in Counter(r[column] for r in rows).items()}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(shipments: Shipments, tmp_path: Path) -> None:
    first = generate(tmp_path / "a", shipments, DAY, DAY, scale=10)
    assert contents(first) == contents(generate(tmp_path / "b", shipments, DAY, DAY, scale=10))
    assert {f.table: hashlib.sha256(f.path.read_bytes()).hexdigest() for f in first} == GOLDEN
    other = generate(tmp_path / "c", shipments, DAY, DAY, seed=2)
    assert not set(contents(first).values()) & set(contents(other).values())


def test_a_day_made_alone_is_the_day_of_a_range(shipments: Shipments, tmp_path: Path) -> None:
    range_ = contents(generate(tmp_path / "a", shipments, DAY - timedelta(days=1), DAY + timedelta(days=1)))
    assert len(range_) == 12
    assert contents(generate(tmp_path / "b", shipments, DAY, DAY)).items() <= range_.items()


def test_a_file_passes_landing_and_every_rule_on_its_values(
    shipments: Shipments, source: Source, tmp_path: Path
) -> None:
    for file in generate(tmp_path, shipments, DAY, DAY, scale=3):
        table = source.table(file.table)
        assert file.path.name == table.file_on(DAY)
        facts = inspect(file.path, table)
        assert (facts.records, facts.bytes) == (file.rows, file.bytes)
        rows = records(file.path)
        headers = {c.name.lower(): c.header for c in table.columns}
        for rule in expectations(source, table):
            column = headers.get(str(rule.kwargs.get("column", "")))
            values = [r[column] for r in rows] if column else []
            filled = [v for v in values if v not in ("", "null")]
            if rule.type == "expect_column_values_to_match_regex":
                assert [v for v in filled if not re.search(str(rule.kwargs["regex"]), v)] == [], rule.rule
            elif rule.type == "expect_column_values_to_be_in_set":
                assert set(filled) <= set(rule.kwargs["value_set"])  # type: ignore[call-overload]
            elif rule.type == "expect_column_values_to_not_be_null":
                assert len(filled) == len(values), rule.rule
            elif rule.type == "expect_column_values_to_be_unique":
                assert len(set(filled)) == len(filled), rule.rule


def test_every_id_is_one_of_olists(day: dict[str, Rows], folder: Path) -> None:
    def ids(table: str, column: str) -> set[str]:
        return {r[column] for r in records(folder / olist.FILES[table])}

    known = {
        "account_id": ids("sellers", "seller_id"),
        "hcp_id": ids("customers", "customer_unique_id"),
        "device_id": ids("products", "product_id"),
        "shipment_id": ids("orders", "order_id"),
    }
    for rows in day.values():
        for column in set(known) & set(rows[0]):
            assert {r[column] for r in rows} - {""} <= known[column], column


def test_an_order_names_its_own_account_hcp_and_device(day: dict[str, Rows], folder: Path) -> None:
    hcps = {r["customer_id"]: r["customer_unique_id"] for r in records(folder / olist.FILES["customers"])}
    of_order = {r["order_id"]: hcps[r["customer_id"]] for r in records(folder / olist.FILES["orders"])}
    lines = {
        (r["order_id"], of_order[r["order_id"]], r["seller_id"], r["product_id"])
        for r in records(folder / olist.FILES["order_items"])
    }
    named = [r for r in day["device_complaints"] if r["shipment_id"] and r["hcp_id"]]
    assert len(named) > 1000
    assert {(r["shipment_id"], r["hcp_id"], r["account_id"], r["device_id"]) for r in named} <= lines


def test_late_shipments_bring_more_than_twice_the_tickets(
    day: dict[str, Rows], lateness: dict[tuple[str, str], bool]
) -> None:
    named = [(r["account_id"], r["hcp_id"]) for r in day["support_tickets"]]
    tickets = Counter(lateness[pair] for pair in named if pair in lateness)
    lines = Counter(lateness.values())
    assert lines[True] > 10
    ratio = (tickets[True] / lines[True]) / (tickets[False] / lines[False])
    assert ratio == pytest.approx(medtech.LATE_TICKETS / 100, rel=0.15)
    about = {late: shares(_of(day["support_tickets"], lateness, late), "category") for late in (False, True)}
    for category, expected in medtech.CATEGORIES.items():
        for late in (False, True):
            assert about[late][category] == pytest.approx(expected[late], abs=3), (category, late)


def test_late_shipments_lower_the_nps(day: dict[str, Rows], lateness: dict[tuple[str, str], bool]) -> None:
    answered = [r for r in day["nps_responses"] if r["score"]]
    for late, weights in enumerate(medtech.SCORES.values()):
        scores = [int(r["score"]) for r in _of(answered, lateness, bool(late))]
        assert len(scores) > 300
        got = 100 * (sum(s > 8 for s in scores) - sum(s < 7 for s in scores)) / len(scores)
        assert got == pytest.approx((sum(weights[9:]) - sum(weights[:7])) / 10, abs=6)
        assert set(scores) == set(range(11))
    assert {bool(r["score"]) for r in day["nps_responses"] if r["answered_at"]} == {True}
    assert {r["comment"] for r in day["nps_responses"] if not r["score"]} == {""}


def _of(rows: Rows, lateness: dict[tuple[str, str], bool], late: bool) -> Rows:
    return [r for r in rows if lateness.get((r["account_id"], r["hcp_id"])) == late]


def test_values_are_spread_as_documented(day: dict[str, Rows]) -> None:
    tickets, visits, complaints = day["support_tickets"], day["rep_visits"], day["device_complaints"]
    assert shares(tickets, "channel") == pytest.approx(medtech.CHANNELS, abs=1.5)
    devices = [r for r in tickets if r["category"] == "device"]
    assert shares(devices, "severity") == pytest.approx({k: v[0] for k, v in medtech.SEVERITIES.items()}, abs=2)
    assert shares(visits, "outcome") == pytest.approx(medtech.OUTCOMES, abs=2)
    assert shares(complaints, "is_reportable")["true"] == pytest.approx(7, abs=2)
    assert shares(tickets, "hcp_id")[""] == pytest.approx(15, abs=1.5)
    assert {r["device_id"] for r in devices} & {""} == set()
    assert {r["visit_date"] for r in visits} == {"2018-03-01"}
    most = Counter(r["device_id"] for r in complaints).most_common(40)
    assert sum(n for _, n in most) > len(complaints) / 4, "few devices bring much of the trouble"


def test_a_case_has_only_what_was_known_at_noon_of_the_next_day(day: dict[str, Rows]) -> None:
    seen = Counter()
    for r in day["support_tickets"]:
        times = [r["opened_at"], r["first_response_at"], r["closed_at"]]
        filled = [t for t in times if t]
        assert times == filled + [""] * (3 - len(filled))
        assert filled == sorted(filled)
        assert filled[0].startswith("2018-03-01")
        assert filled[-1] < "2018-03-02 12:00:00"
        assert r["status"] == {1: "open", 2: "in_progress", 3: "closed"}[len(filled)]
        seen[r["status"]] += 1
    assert all(seen[s] > len(day["support_tickets"]) / 20 for s in ("open", "in_progress", "closed")), seen


def test_representatives_keep_their_accounts(day: dict[str, Rows], shipments: Shipments, tmp_path: Path) -> None:
    later = generate(tmp_path, shipments, DAY + timedelta(days=5), DAY + timedelta(days=5), scale=20)
    visits = day["rep_visits"] + records(next(f.path for f in later if f.table == "rep_visits"))
    of = defaultdict(set)
    for r in visits:
        of[r["account_id"]].add(r["rep_id"])
    assert {len(reps) for reps in of.values()} == {1}


def test_volumes_follow_the_week_and_the_scale(shipments: Shipments, tmp_path: Path) -> None:
    monday = date(2018, 3, 5)
    for file in generate(tmp_path, shipments, monday, monday + timedelta(days=6), scale=10):
        expected = 10 * medtech.ROWS[file.table] * medtech.WEEK[file.table][file.day.weekday()] / 100
        more = 1.25 if file.table == "support_tickets" else 1.1  # late shipments come on top
        assert max(1, int(0.9 * expected)) <= file.rows <= more * expected + 1, file


def test_free_text_holds_what_breaks_careless_parsers(day: dict[str, Rows]) -> None:
    text = "".join(r["comment"] for r in day["nps_responses"]) + "".join(
        r["narrative"] for r in day["device_complaints"]
    )
    missing = [
        c for c in ('"', ",", ";", "|", "\t", "\\", "\n", "\r\n", "{{", "ü", "ã", "お", "و", "👍") if c not in text
    ]
    assert missing == []
    assert any(r["comment"].endswith(" ") for r in day["nps_responses"])


def test_days_outside_olists_calendar_tell_of_any_of_its_shipments(
    shipments: Shipments, folder: Path, tmp_path: Path
) -> None:
    made = generate(tmp_path, shipments, date(2026, 2, 28), date(2026, 3, 1))
    assert all(f.rows for f in made)
    visits = records(tmp_path / "rep_visits_2026-03-01.csv")
    assert {r["account_id"] for r in visits} <= {r["seller_id"] for r in records(folder / olist.FILES["sellers"])}


@pytest.mark.parametrize(("rate", "scale"), [(0.01, 100), (0.2, 10)])
def test_defects_come_at_the_rate_asked_for(
    rate: float, scale: float, shipments: Shipments, folder: Path, tmp_path: Path
) -> None:
    sellers = {r["seller_id"] for r in records(folder / olist.FILES["sellers"])}
    typed = {"support_tickets": "opened_at", "nps_responses": "score", "rep_visits": "visit_date"}
    for file in generate(tmp_path, shipments, DAY, DAY, scale=scale, defects=rate):
        if file.table == "device_complaints":
            continue  # too few rows to count
        rows = records(file.path)
        key = next(iter(rows[0]))
        wrong = sum(not re.fullmatch(r"[-0-9: ]*", r[typed[file.table]]) or "/" in r[typed[file.table]] for r in rows)
        orphans = sum(r["account_id"] not in sellers for r in rows)
        twice = len(rows) - len({r[key] for r in rows})
        assert (wrong + orphans + twice) / len(rows) == pytest.approx(rate, rel=0.35, abs=3 / len(rows))
        assert min(wrong, orphans, twice) > 0


def test_a_few_rows_already_show_each_defect(shipments: Shipments, tmp_path: Path) -> None:
    clean = generate(tmp_path / "clean", shipments, DAY, DAY, scale=0.2)
    broken = generate(tmp_path / "broken", shipments, DAY, DAY, scale=0.2, defects=0.01)
    rows, others = (records(next(f.path for f in made if f.table == "rep_visits")) for made in (clean, broken))
    assert [r["visit_date"] for r in others[:2]] == ["the day before", "2018-03-01"]
    assert (others[1]["account_id"] != rows[1]["account_id"], others[2]) == (True, rows[2])
    assert others[3] == others[2]


def test_a_day_made_again_replaces_its_own_files_and_no_others(shipments: Shipments, tmp_path: Path) -> None:
    first = contents(generate(tmp_path, shipments, DAY, DAY, defects=0.05))
    again = contents(generate(tmp_path, shipments, DAY, DAY))
    assert first.keys() == again.keys()
    assert not set(first.values()) & set(again.values())
    theirs = tmp_path / "rep_visits_2018-03-02.csv"
    theirs.write_text("visit_id\n1\n")
    with pytest.raises(ConfigurationError, match=r"rep_visits_2018-03-02\.csv: exists and was not generated"):
        generate(tmp_path, shipments, DAY, DAY + timedelta(days=1))
    assert theirs.read_text() == "visit_id\n1\n"
    assert {p.name for p in tmp_path.iterdir()} == {*again, theirs.name, olist.MARKER}


def test_the_real_sample_gives_ids_as_well(sample: Path, tmp_path: Path) -> None:
    made = generate(tmp_path, read_shipments(sample), DAY, DAY)
    sellers = {r["seller_id"] for r in records(sample / olist.FILES["sellers"])}
    tickets = records(next(f.path for f in made if f.table == "support_tickets"))
    assert {r["account_id"] for r in tickets} <= sellers


def test_a_folder_without_olists_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no olist_orders_dataset\.csv, .*--olist"):
        read_shipments(tmp_path)
    for table in ("orders", "order_items", "customers", "products", "sellers"):
        (tmp_path / olist.FILES[table]).write_text("a,b\n1,2\n")
    with pytest.raises(ConfigurationError, match="not read as Olist files"):
        read_shipments(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"last": DAY - timedelta(days=1)}, "the last is before the first"),
        ({"scale": 0.0}, "expected a number above 0"),
        ({"scale": float("nan")}, "expected a number above 0"),
        ({"defects": 1.5}, "expected a share of rows from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, object], said: str, shipments: Shipments, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=said):
        generate(tmp_path, shipments, **{"first": DAY, "last": DAY, **change})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_rows(folder: Path, tmp_path: Path) -> None:
    code = (
        "import resource, sys; from datetime import date; from pathlib import Path\n"
        "from flows.synthetic.medtech import generate; from flows.synthetic.shipments import read_shipments\n"
        "day = date(2018, 3, 1)\n"
        "made = generate(Path(sys.argv[2]), read_shipments(Path(sys.argv[1])), day, day, scale=float(sys.argv[3]))\n"
        "print(sum(f.rows for f in made), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(scale: int) -> tuple[int, int]:
        run = subprocess.run(
            [sys.executable, "-c", code, str(folder), str(tmp_path / str(scale)), str(scale)],
            capture_output=True,
            text=True,
            check=True,
        )
        rows, kilobytes = run.stdout.split()
        return int(rows), int(kilobytes)

    (few, small), (many, large) = peak(600), peak(1800)
    assert many > 2.5 * few
    assert large < small + 20_000, f"{small:,} kB for {few:,} rows, {large:,} kB for {many:,}"


def test_the_command_makes_days_and_says_how_many_rows(folder: Path, tmp_path: Path) -> None:
    from flows.cli import main

    options = ["generate", "--source", "synthetic", "--out", str(tmp_path), "--olist", str(folder), "--json"]
    done = CliRunner().invoke(main, [*options, "--from", "2018-03-01", "--to", "2018-03-02"])
    assert done.exit_code == 0, done.output
    document = {t["table"]: t for t in json.loads(done.output)}
    assert document.keys() == medtech.ROWS.keys()
    assert {t["days"] for t in document.values()} == {2}
    assert document["rep_visits"]["rows"] == sum(len(records(p)) for p in tmp_path.glob("rep_visits_*.csv"))
    without = CliRunner().invoke(main, options)
    assert (without.exit_code, "--from" in json.loads(without.output)["error"]) == (2, True)
    olist_days = CliRunner().invoke(main, ["generate", "--out", str(tmp_path), "--from", "2018-03-01"])
    assert olist_days.exit_code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--to", "2018-03-01"], "--to: given without --from"),
        (["--from", "2018-03-01", "--force"], "--force: given with --from"),
    ],
)
def test_days_to_run_that_make_no_sense_are_refused_before_anything_starts(options: list[str], said: str) -> None:
    from flows.cli import main

    done = CliRunner().invoke(main, ["run", "--source", "synthetic", "--json", *options])
    assert (done.exit_code, said in json.loads(done.output)["error"]) == (2, True)
