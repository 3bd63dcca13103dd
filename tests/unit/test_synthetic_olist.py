"""Generated Olist-shaped files: exact counts, the same bytes everywhere, complete references, real quirks; other files stay."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from flows.errors import ConfigurationError
from flows.settings import PROJECT
from flows.synthetic import olist, vocabulary
from flows.synthetic.olist import FILES, HEADERS, MARKER, ROWS, GeneratedFile, generate, read_marker, row_counts
from flows.synthetic.olist_world import World

# If these change, every generated file has changed: raise olist.VERSION too.
GOLDEN = {
    "customers": "f733ab1a0fea573afb4be7dd3f66dcf17c83d5b1706aa734863dfe5d8e07d2d7",
    "geolocation": "157c1d3fb328946c0b13032cb85e1311b41ee5eb123832ec48d6440f979bae29",
    "order_items": "b091c215139c1d77a2865df29d1be831a75e9f3d26a29c17b999d9e9bcda5adc",
    "order_payments": "f51ee05a2fa20d63263d076709f943862b4d4c904616dc2917a6af894b1b4bba",
    "order_reviews": "35d42160d28c2dcb607ec54654793e369e40cfac86e9ba387718879b20125b92",
    "orders": "b8acca30b2682f932c5659aab22485a823b3e05cd8ef2dd7c39c715d7a91ed13",
    "products": "1302fedfd14af4c3733adedc1b0015acbeb6b7b1ab570465eb86336a2abb6d9b",
    "sellers": "5696abdee0b9492ce2bc449ef239d83fa4557a4d7740f70642c2547e1d698031",
    "product_category_name_translation": "d60e5e665c3c0e31104581c3f5c3db64fd08386b11f6ad697182a5642f0eccb1",
}

ID, TIME, MIDNIGHT, MONEY, PREFIX = (
    r"[0-9a-f]{32}",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    r"\d{4}-\d\d-\d\d 00:00:00",
    r"\d+\.\d\d?",
    r"\d{5}",
)
STATE, COUNT, DEGREES = r"[A-Z]{2}", r"\d+", r"-?\d+\.\d+"
CELLS = {  # what a whole cell looks like, in real and in generated files
    "customers": (ID, ID, PREFIX, r"[a-z' -]+", STATE),
    "geolocation": (PREFIX, DEGREES, DEGREES, r".+", STATE),
    "order_items": (ID, COUNT, ID, ID, TIME, MONEY, MONEY),
    "order_payments": (ID, COUNT, "credit_card|boleto|voucher|debit_card|not_defined", COUNT, MONEY),
    "order_reviews": (ID, ID, "[1-5]", r"(?s:.*)", r"(?s:.*)", TIME, TIME),
    "orders": (
        *(ID, ID, "delivered|shipped|canceled|unavailable|invoiced|processing|created|approved"),
        *(TIME, f"({TIME})?", f"({TIME})?", f"({TIME})?", MIDNIGHT),
    ),
    "products": (ID, "[a-z0-9_]*", *([r"\d*"] * 7)),
    "sellers": (ID, PREFIX, r".+", STATE),
    "product_category_name_translation": ("[a-z0-9_]+", "[a-z0-9_]+"),
}


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def records(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scale 0.05: the size of a first run."""
    out = tmp_path_factory.mktemp("olist")
    generate(out, 0.05)
    return out


@pytest.fixture(scope="module")
def tables(small: Path) -> dict[str, list[list[str]]]:
    return {table: records(small / name) for table, name in FILES.items()}


@pytest.mark.parametrize("scale", [1e-9, 0.0001, 0.0137])
def test_row_counts_are_the_real_ones_times_the_scale_and_at_least_one(tmp_path: Path, scale: float) -> None:
    made = generate(tmp_path, scale)
    expected = {
        t: 71 if t == "product_category_name_translation" else max(1, round(n * scale)) for t, n in ROWS.items()
    }
    assert {f.table: f.rows for f in made} == expected == row_counts(scale)
    assert {t: len(records(tmp_path / name)) for t, name in FILES.items()} == expected
    assert {f.path: f.bytes for f in made} == {
        tmp_path / name: (tmp_path / name).stat().st_size for name in FILES.values()
    }


def test_children_are_spread_exactly_at_any_scale() -> None:
    for k in range(900):
        scale = 10 ** (-7 + k / 90)
        world = World(1, row_counts(scale), scale)
        for spread, table in (
            (world.item_spread, "order_items"),
            (world.payment_spread, "order_payments"),
            (world.review_spread, "order_reviews"),
        ):
            ends = [0, *spread.ends.tolist()]
            parents = [b - a for a, b in pairwise(ends)]
            assert min(parents) >= 0
            assert spread.empty + ends[-1] == world.rows["orders"]
            assert sum(n * size for n, size in zip(parents, spread.sizes.tolist(), strict=True)) == world.rows[table]


def test_the_same_seed_and_scale_give_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        generate(tmp_path / name, 0.01, seed=seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    same = {name for name in a if a[name] == c[name]}
    assert same == {"product_category_name_translation.csv"}


def test_the_bytes_are_those_of_every_other_machine(tmp_path: Path) -> None:
    made = generate(tmp_path, 0.001)
    assert {f.table: hashlib.sha256(f.path.read_bytes()).hexdigest() for f in made} == GOLDEN


def test_a_table_made_alone_is_the_one_made_among_all(small: Path, tmp_path: Path) -> None:
    for table in ("order_payments", "order_reviews", "geolocation"):
        [made] = generate(tmp_path, 0.05, tables=[table])
        assert made.path.read_bytes() == (small / FILES[table]).read_bytes()
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == sorted(
        FILES[t] for t in ("order_payments", "order_reviews", "geolocation")
    )
    generate(tmp_path, 0.05)
    assert contents(tmp_path) == contents(small)


def test_headers_and_cells_look_as_in_the_real_files(small: Path, sample: Path) -> None:
    for directory in (sample, small):
        for table, name in FILES.items():
            with (directory / name).open("rb") as file:
                assert file.readline().removeprefix(b"\xef\xbb\xbf") == HEADERS[table].encode() + b"\n", (
                    directory / name
                )
            expected = [re.compile(pattern) for pattern in CELLS[table]]
            for row in records(directory / name):
                assert len(row) == len(expected)
                assert all(p.fullmatch(cell) for p, cell in zip(expected, row, strict=True)), (directory / name, row)


def test_fields_are_quoted_where_csv_needs_it_and_nowhere_else(small: Path, tables: dict[str, list[list[str]]]) -> None:
    for table, name in FILES.items():
        again = io.StringIO(newline="")
        csv.writer(again, lineterminator="\n").writerows(tables[table])
        header, body = (small / name).read_bytes().split(b"\n", 1)
        assert again.getvalue().encode() == body
        assert header.startswith(b"\xef\xbb\xbf") == (table == "product_category_name_translation")


def test_every_reference_has_its_row(tables: dict[str, list[list[str]]]) -> None:
    def column(table: str, position: int) -> list[str]:
        return [row[position] for row in tables[table]]

    orders = column("orders", 0)
    for table in ("orders", "customers", "products", "sellers"):
        keys = column(table, 0)
        assert len(set(keys)) == len(keys)
    assert set(column("orders", 1)) == set(column("customers", 0))
    for table, position in (("order_items", 0), ("order_payments", 0), ("order_reviews", 1)):
        assert set(column(table, position)) <= set(orders)
    assert set(column("order_items", 2)) <= set(column("products", 0))
    assert set(column("order_items", 3)) <= set(column("sellers", 0))
    for table, key in (("order_items", (0, 1)), ("order_payments", (0, 1)), ("order_reviews", (0, 1))):
        pairs = [tuple(row[k] for k in key) for row in tables[table]]
        assert len(set(pairs)) == len(pairs)
    known = set(column("geolocation", 0))
    for table, position in (("customers", 2), ("sellers", 1)):
        prefixes = column(table, position)
        assert sum(p in known for p in prefixes) > 0.98 * len(prefixes)
    untranslated = set(column("products", 1)) - set(column("product_category_name_translation", 0))
    assert untranslated <= {"", *vocabulary.UNTRANSLATED_CATEGORIES}


def test_dates_are_in_the_order_of_events_and_end_at_the_status(
    tables: dict[str, list[list[str]]],
) -> None:
    for _, _, status, purchase, approved, carrier, delivered, estimated in tables["orders"]:
        reached = [t for t in (purchase, approved, carrier, delivered) if t]
        assert reached == sorted(reached)
        assert purchase < estimated
        if status in ("created", "approved", "processing", "invoiced", "unavailable"):
            assert not carrier
            assert not delivered
            assert bool(approved) == (status != "created")
        if status == "shipped":
            assert carrier
            assert not delivered


def test_payments_add_up_to_the_items_and_their_freight(tables: dict[str, list[list[str]]]) -> None:
    due: Counter[str] = Counter()
    paid: Counter[str] = Counter()
    for order, *_, price, freight in tables["order_items"]:
        due[order] += round(100 * float(price)) + round(100 * float(freight))
    for order, _, _, _, value in tables["order_payments"]:
        paid[order] += round(100 * float(value))
    equal = sum(paid[order] == cents for order, cents in due.items())
    assert 0.98 * len(due) < equal < len(due)  # a few pay interest
    assert all(paid[order] == 0 or cents <= paid[order] <= 1.12 * cents for order, cents in due.items())


def test_generated_files_have_the_quirks_of_the_real_ones(tables: dict[str, list[list[str]]]) -> None:
    reviews = tables["order_reviews"]
    messages = [row[4] for row in reviews]
    assert sum(not m for m in messages) > 0.5 * len(messages)
    for quirk in (r"(?<!\r)\n", r"\r\n", '"', ",", ";", r"\\", "ã", "😀", r"^ ", r" $", r"\r\n$"):
        assert any(re.search(quirk, m) for m in messages), quirk
    assert any('"' in row[3] for row in reviews)
    ids = Counter(row[0] for row in reviews)
    assert 1 <= sum(n - 1 for n in ids.values()) < 0.02 * len(reviews)
    persons = Counter(row[1] for row in tables["customers"])
    assert 0.94 * len(tables["customers"]) < len(persons) < 0.98 * len(tables["customers"])
    assert 0.01 < sum(not row[1] for row in tables["products"]) / len(tables["products"]) < 0.03
    assert any("," in row[2] for row in tables["sellers"])
    geolocation = tables["geolocation"]
    assert any(not row[3].isascii() for row in geolocation)
    assert len({tuple(row) for row in geolocation}) < 0.8 * len(geolocation)
    outside = [row for row in geolocation if not -34 < float(row[1]) < 6]
    assert 1 <= len(outside) < 0.001 * len(geolocation)
    scores: dict[bool, list[int]] = {True: [], False: []}
    late = {row[0]: row[6] > row[7] for row in tables["orders"] if row[6]}
    for row in reviews:
        if row[1] in late:
            scores[late[row[1]]].append(int(row[2]))
    assert sum(scores[True]) / len(scores[True]) < sum(scores[False]) / len(scores[False]) - 1


def test_scale_one_has_the_real_counts_and_proportions(tmp_path: Path) -> None:
    made = {f.table: f for f in generate(tmp_path)}
    assert {t: f.rows for t, f in made.items()} == ROWS
    assert 110e6 < sum(f.bytes for f in made.values()) < 130e6

    def ask(table: str, query: str) -> list[tuple[object, ...]]:
        source = f"read_csv('{made[table].path}', header = true, all_varchar = true, parallel = false)"
        return duckdb.execute(query.replace("FILE", source)).fetchall()

    for table, rows in ROWS.items():
        assert ask(table, "SELECT count(*) FROM FILE") == [(rows,)]
    assert dict(ask("orders", "SELECT order_status, count(*) FROM FILE GROUP BY 1")) == {
        "delivered": 96_478,
        "shipped": 1_107,
        "canceled": 625,
        "unavailable": 609,
        "invoiced": 314,
        "processing": 301,
        "created": 5,
        "approved": 2,
    }
    [(with_items,)] = ask("order_items", "SELECT count(DISTINCT order_id) FROM FILE")
    [(with_payment,)] = ask("order_payments", "SELECT count(DISTINCT order_id) FROM FILE")
    [(with_review,)] = ask("order_reviews", "SELECT count(DISTINCT order_id) FROM FILE")
    assert (with_items, with_payment, with_review) == (98_666, 99_440, 98_673)
    types = dict(ask("order_payments", "SELECT payment_type, count(*) FROM FILE GROUP BY 1"))
    assert types.pop("not_defined") == 3
    assert types == {
        "credit_card": pytest.approx(76_795, rel=0.02),
        "boleto": pytest.approx(19_784, rel=0.02),
        "voucher": pytest.approx(5_775, rel=0.02),
        "debit_card": pytest.approx(1_529, rel=0.1),
    }
    scores = dict(ask("order_reviews", "SELECT review_score, count(*) FROM FILE GROUP BY 1"))
    real = {"5": 57_328, "4": 19_142, "3": 8_179, "2": 3_151, "1": 11_424}
    assert scores == {score: pytest.approx(number, rel=0.1) for score, number in real.items()}
    states = dict(ask("customers", "SELECT customer_state, count(*) FROM FILE GROUP BY 1"))
    assert set(states) == {s.code for s in vocabulary.STATES}
    assert len(states) == 27
    assert states["SP"] == pytest.approx(41_746, rel=0.03)
    assert ask("order_items", "SELECT count(DISTINCT product_id), count(DISTINCT seller_id) FROM FILE") == [
        (32_951, 3_095)
    ]
    [(price, freight)] = ask("order_items", "SELECT avg(price::DOUBLE), avg(freight_value::DOUBLE) FROM FILE")
    assert (price, freight) == (pytest.approx(120.65, rel=0.1), pytest.approx(19.99, rel=0.1))


def test_memory_does_not_grow_with_the_scale(tmp_path: Path) -> None:
    def peak(scale: float) -> int:
        code = (
            "import resource, sys; from pathlib import Path; from flows.synthetic.olist import generate\n"
            "generate(Path(sys.argv[1]), float(sys.argv[2]), tables=['order_reviews'])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / str(scale)), str(scale)],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    assert peak(4) < 1.25 * peak(0.8)  # five times the chunks


def test_a_second_call_returns_the_existing_files_without_writing(tmp_path: Path) -> None:
    first = generate(tmp_path, 0.001)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    seen: list[tuple[str, int]] = []
    assert generate(tmp_path, 0.001, progress=lambda *call: seen.append(call)) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == stamps
    assert not seen


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    generate(tmp_path, 0.001)
    before = contents(tmp_path)
    (tmp_path / FILES["orders"]).unlink()
    generate(tmp_path, 0.001)
    assert contents(tmp_path) == before


def test_another_scale_replaces_all_files_even_when_one_table_is_asked_for(tmp_path: Path) -> None:
    generate(tmp_path, 0.002)
    generate(tmp_path, 0.001, tables=["sellers"])
    assert set(contents(tmp_path)) == {FILES["sellers"], MARKER}
    assert len(records(tmp_path / FILES["sellers"])) == 3


def test_progress_reports_the_rows_written_so_far(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    made = generate(tmp_path, 0.2, tables=["geolocation", "sellers"], progress=lambda *call: seen.append(call))
    reported = [rows for table, rows in seen if table == "geolocation"]
    assert len(reported) > 2
    assert reported == sorted(set(reported))
    assert dict(seen) == {f.table: f.rows for f in made}


def test_the_marker_says_that_the_data_is_generated_and_how(tmp_path: Path) -> None:
    made = generate(tmp_path, 0.001, seed=5)
    said = json.loads((tmp_path / MARKER).read_text())
    assert "not real" in said["note"]
    assert (said["seed"], said["scale"], said["version"]) == (5, 0.001, olist.VERSION)
    marker = read_marker(tmp_path)
    assert marker is not None
    assert [GeneratedFile(t, tmp_path / n, r, b) for n, (t, r, b) in marker.files.items()] == sorted(
        made, key=lambda f: f.path
    )
    assert read_marker(tmp_path / "nowhere") is None


def test_files_that_were_not_generated_are_never_touched(tmp_path: Path) -> None:
    theirs = tmp_path / FILES["orders"]
    theirs.write_text("order_id\nmine\n")
    with pytest.raises(ConfigurationError, match=r"olist_orders_dataset\.csv: exists and was not generated"):
        generate(tmp_path, 0.001, tables=["sellers"])
    assert contents(tmp_path) == {theirs.name: b"order_id\nmine\n"}


def test_a_generated_file_that_was_changed_since_is_not_overwritten(tmp_path: Path) -> None:
    generate(tmp_path, 0.001)
    changed = tmp_path / FILES["sellers"]
    changed.write_bytes(changed.read_bytes() + b"\n")
    before = contents(tmp_path)
    with pytest.raises(ConfigurationError, match="sellers"):
        generate(tmp_path, 0.002)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["", "[]", '{"files": 3}', '{"files": {"a": 1}}', '{"files": {}, "seed": "x"}', "\udcff"]
)
def test_a_marker_that_cannot_be_read_stops_the_run(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER).write_bytes(text.encode(errors="surrogateescape"))
    before = contents(tmp_path)
    with pytest.raises(ConfigurationError, match="not a marker"):
        generate(tmp_path, 0.001)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_existing_files_and_no_partial_one(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    generate(tmp_path, 0.001)
    before = contents(tmp_path)

    def stop(table: str, rows: int) -> None:
        if table == "orders":
            raise failure

    with pytest.raises(failure):
        generate(tmp_path, 0.01, progress=stop)
    assert contents(tmp_path) == before


def test_a_killed_run_leaves_no_half_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from flows.synthetic.olist import generate\n"
        "def die(table, rows):\n    if table == 'geolocation': os.kill(os.getpid(), signal.SIGKILL)\n"
        "generate(Path(sys.argv[1]), 0.2, progress=die)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=PROJECT, check=False)
    assert done.returncode == -9
    assert not list(tmp_path.glob("*.csv"))
    assert list(tmp_path.glob(".*.partial"))
    generate(tmp_path, 0.001)
    assert set(contents(tmp_path)) == {MARKER, *FILES.values()}


@pytest.mark.parametrize("steps", range(11))
def test_a_run_that_stops_while_it_names_its_files_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    generate(tmp_path / "whole", 0.002)
    out = tmp_path / "out"
    generate(out, 0.001)
    real, left = Path.replace, [steps]

    def replace(self: Path, target: Path) -> Path:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        if steps < 10:
            with pytest.raises(KeyboardInterrupt):
                generate(out, 0.002)
            whole = contents(tmp_path / "whole")
            assert all(data == whole[name] for name, data in contents(out).items() if name.endswith(".csv"))
        else:
            generate(out, 0.002)
    generate(out, 0.002)
    assert contents(out) == contents(tmp_path / "whole")


def test_two_at_once_make_one_set(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from flows.synthetic.olist import generate; generate(Path(sys.argv[1]), 0.05)"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out")], cwd=PROJECT) for _ in range(2)]
    assert [run.wait(timeout=60) for run in runs] == [0, 0]
    generate(tmp_path / "whole", 0.05)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), 1001])
def test_an_impossible_scale_is_refused(tmp_path: Path, scale: float) -> None:
    with pytest.raises(ConfigurationError, match="scale"):
        generate(tmp_path / "out", scale)
    assert not (tmp_path / "out").exists()


def test_an_unknown_table_is_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"order: no such table; there are customers, .*orders"):
        generate(tmp_path / "out", tables=["order", "orders"])
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(ConfigurationError, match="out: cannot hold generated files"):
        generate(tmp_path / "out", 0.001)


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(olist.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    with pytest.raises(ConfigurationError, match="1,000,000 bytes free, about 126,0"):
        generate(tmp_path, 1.0)
    assert not contents(tmp_path)
