"""In each dialect and packing a file goes through landing, S3 and the real COPY; RAW has the cells that Python's csv reads."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
import zipfile
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.contract import values
from flows.contract.dialect import Dialect
from flows.contract.model import Rule, Table
from flows.contract.render_sql import copy_into, create_table
from flows.errors import DataError
from flows.steps import land as landing
from tests.dialects import DIALECTS, anything, by_csv, file_format, source, table, written
from tests.embedded.conftest import ObjectStore, Warehouse, integration_for

BUCKET = "dialect-tests"


def _zipped(data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inside.csv", data)
    return packed.getvalue()


PACKINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "gzip": (".gz", gzip.compress),
    "zstd": (".zst", zstandard.compress),
    "bz2": (".bz2", bz2.compress),
    "zip": (".zip", _zipped),
}
TEXTS = [
    "",
    "a",
    "null",
    "NULL",
    "-",
    'say "hi"',
    "it's",
    "one, two; three|four",
    "São é",
    " spaced ",
    "x\\y",
    "1.234,56",
    "a\nb",
]


class Lab:
    """A database with the stage that the source's COPY names, and the client that landing sends with."""

    def __init__(self, connection: Any, client: Any, folder: Path) -> None:
        self.connection, self.client, self.folder = connection, client, folder
        self.batches = 0
        integration = integration_for(connection, BUCKET)
        self.run("CREATE SCHEMA IF NOT EXISTS RAW")
        self.database = str(self.run("SELECT CURRENT_DATABASE()")[0][0])
        self.run(
            f"CREATE STAGE RAW.D_S3_STAGE URL = 's3://{BUCKET}/raw/d/' STORAGE_INTEGRATION = {integration} "
            "FILE_FORMAT = (TYPE = CSV)"
        )

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.cursor()
        cursor.execute(sql)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []

    def loaded(self, of: Table, path: Path) -> list[tuple[Any, ...]]:
        """Land a file of a table and COPY it; return its rows in RAW."""
        self.batches += 1
        batch, owner = f"20260101_{self.batches:06}", source(of)
        landed = landing.land(self.client, BUCKET, owner, of, path, batch, None)
        self.run(file_format(of.dialect).replace("CXM_MEDTECH.", f"{self.database}."))
        self.run(create_table(of, self.database, "RAW"))
        said = self.run(copy_into(owner, of, self.database, batch, [o.name for o in landed.objects]))
        assert [row[1] for row in said] == ["LOADED"]
        columns = ", ".join(c.name for c in of.columns)
        rows = self.run(
            f"SELECT {columns} FROM RAW.{of.raw_name} WHERE _BATCH_ID = '{batch}' ORDER BY _SOURCE_ROW_NUMBER"
        )
        assert len(rows) == landed.records
        return rows


@pytest.fixture(scope="module")
def lab(
    loading_warehouse: Warehouse, s3_server: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    client = s3_server.client()
    client.create_bucket(Bucket=BUCKET)
    with loading_warehouse.connect() as connection:
        connection.cursor().execute("CREATE DATABASE DIALECTS")
        yield Lab(connection, client, tmp_path_factory.mktemp("files"))
        connection.cursor().execute("DROP DATABASE DIALECTS")


def rows_for(dialect: Dialect, seed: int) -> list[list[str]]:
    """Return rows that a writer can write in this dialect, with values that need quotes only if the dialect has quotes."""
    pick = random.Random(seed)
    texts = []
    for text in TEXTS:
        try:
            written([[text, "x"]], dialect)
        except (csv.Error, UnicodeEncodeError):
            continue
        # Where a CR ends lines, the writer does not put an LF into quotes.
        if "\n" not in text or (dialect.quote and dialect.line_end == "lf"):
            texts.append(text)
    return [[str(n), *(pick.choice(texts) for _ in range(2))] for n in range(20)]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_file_of_a_dialect_is_loaded_exactly_however_it_is_packed(name: str, lab: Lab) -> None:
    dialect = DIALECTS[name]
    of = table(dialect, name=f"t{list(DIALECTS).index(name)}")
    for seed, (suffix, pack) in enumerate(PACKINGS.values()):
        rows = rows_for(dialect, seed)
        data = written(rows, dialect)
        path = lab.folder / f"{of.name}{seed}" / f"{of.file}{suffix}"
        path.parent.mkdir()
        path.write_bytes(pack(data))
        assert lab.loaded(of, path.parent / of.file) == by_csv(data, dialect), f"{name}, {suffix}"


_FIELD = st.lists(st.sampled_from([*TEXTS, ";", "|", "\t", '"', "'"]), max_size=3).map("".join)


@pytest.mark.soak
@given(
    rows=st.lists(st.lists(_FIELD, min_size=3, max_size=3), min_size=1, max_size=8),
    dialect=anything,
    packing=st.sampled_from(list(PACKINGS)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_file_of_any_dialect_is_loaded_exactly_or_refused(
    rows: list[list[str]], dialect: Dialect, packing: str, quoting: int, lab: Lab
) -> None:
    suffix, pack = PACKINGS[packing]
    try:
        data = written(rows, dialect, quoting)
    except (csv.Error, UnicodeEncodeError):
        return
    of = table(dialect, name="fuzzed")
    path = lab.folder / f"fuzzed{lab.batches}.{packing}" / of.file
    path.parent.mkdir(exist_ok=True)
    path.with_name(of.file + suffix).write_bytes(pack(data))
    try:
        loaded = lab.loaded(of, path)
    except DataError:
        return
    assert loaded == by_csv(data, dialect)


@pytest.mark.parametrize(
    ("kind", "how", "texts"),
    [
        (
            "number",
            {"decimal": ","},
            {"1.234,56": 1234.56, "1234,5": 1234.5, "-0,5": -0.5, ",5": 0.5, "1.000.000": 1000000, "1.5": None, "1,2,3": None,
             "12.34,5": None, " 7 ": 7, "1,5e2": 150, "": None, "-": None},
        ),
        ("integer", {"decimal": ","}, {"1.234": 1234, "12": 12, "1.23": None, "2,0": 2}),
        ("date", {"format": "DD/MM/YYYY"}, {"31/12/2024": "2024-12-31", "01/02/2024": "2024-02-01", "31/02/2024": None}),
        ("date", {"format": "MM-DD-YYYY"}, {"12-31-2024": "2024-12-31", "31-12-2024": None}),
        ("date", {"format": "YYYYMMDD"}, {"20241231": "2024-12-31", "20240230": None}),
        ("timestamp", {"format": "DD.MM.YYYY HH24:MI"}, {"31.12.2024 23:59": "2024-12-31 23:59:00", "31.12.2024 24:00": None}),
        ("boolean", {"words": (("Ja", "Nein"), ("1", "0"))}, {"Ja": True, "Nein": False, "0": False, "ja": None, "true": None}),
    ],
)  # fmt: skip
def test_staging_reads_values_as_the_dialect_writes_them(
    kind: str, how: dict[str, object], texts: dict[str, object], lab: Lab
) -> None:
    rows = ", ".join(f"('{text}')" for text in texts)
    got = dict(lab.run(f"SELECT t.V, {values.value(kind, 't.V', how)} FROM (VALUES {rows}) AS t (V)"))
    if kind in ("date", "timestamp"):
        got = {text: value and str(value) for text, value in got.items()}
    assert got == {text: Decimal(str(value)) if isinstance(value, float) else value for text, value in texts.items()}


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (("number", ("decimal", ","), ("integer", True)), ["1.234", "2,0"], ["1,5", "1.5"]),
        (("number", ("integer", True)), ["2.0", "1e3", "9" * 29], ["1.5", "1_000", "1" * 30, "1" * 38]),
        (("date", ("format", "DD/MM/YYYY")), ["01/02/2024"], ["1/2/2024", "01/02/24", "00/00/0000"]),
        (("timestamp", ("format", "DD.MM.YYYY HH24:MI:SS")), ["01.02.2024 00:00:00"], ["01.02.2024", "01/02/2024 00:00:00"]),
        (("boolean", ("words", (("S", "N"),))), ["S", " N "], ["s", "1"]),
    ],
)  # fmt: skip
def test_a_rule_of_type_refuses_what_the_dialect_does_not_write(
    rule: tuple[Any, ...], good: list[str], bad: list[str], lab: Lab
) -> None:
    kind, *arguments = rule
    judged = Rule(kind, "error", "V", arguments=tuple(arguments))
    rows = ", ".join(f"('{text}')" for text in (*good, *bad))
    got = lab.run(f"SELECT {values.unread(judged, 't.V')} FROM (VALUES {rows}) AS t (V)")
    assert [text for (text,) in got if text is not None] == bad


def test_a_number_is_read_from_its_text_to_its_last_digit_whatever_its_size(lab: Lab) -> None:
    """Short texts are read in another way than long ones and those with an exponent; both are compared with Python's decimals."""
    chance = random.Random(22)

    def digits(most: int) -> str:
        return "".join(chance.choices("0159", k=chance.randrange(most)))

    def number_text() -> str:
        point, exponent = chance.random() < 0.7, chance.random() < 0.2
        text = chance.choice(["", "-", "+"]) + digits(24) + ("." + digits(24)) * point
        return text + (chance.choice("eE") + chance.choice(["", "-", "+"]) + str(chance.randrange(20))) * exponent

    texts = sorted(
        {
            *(number_text() for _ in range(3000)),
            "1_000",
            "1_0.5",
            " 7",
            "9" * 18,
            "9" * 19,
            "0.9999999995",
            "-0.0000000005",
        }
    )
    rows = ", ".join(f"('{text}')" for text in texts)
    got = dict(lab.run(f"SELECT t.V, try_cast(t.V AS NUMBER(38, 9)) FROM (VALUES {rows}) AS t (V)"))
    with localcontext(prec=80):
        for text in texts:
            try:
                number: Decimal | None = Decimal(text.strip()).quantize(Decimal("1e-9"), ROUND_HALF_UP)
            except InvalidOperation:
                number = None
            if number is None or "_" in text or abs(number) >= Decimal("1e29"):
                number = None
            assert got[text] == number, text
