"""`cxm contract draft` turns undescribed files into entries that can be read and synced, and that hold for these files."""

from __future__ import annotations

import csv
import gzip
import random
from pathlib import Path

import pytest

from flows.check import check
from flows.contract import drafts, render_dbt, render_expectations
from flows.contract.dialect import Dialect
from flows.contract.model import Source, Table
from flows.contract.read import read_source
from flows.errors import ConfigurationError, DataError
from flows.places import local
from flows.steps.draft import profile_files

HEADER = [
    "Id", "ID", "Nome do Médico", "order", "E-mail", "2nd value", "Total (R$)", "is active", "day", "at", "état", "ref", "code",
    "loaded_at",
]  # fmt: skip


def write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "data_dictionary").mkdir()
    return tmp_path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random.seed(7)
    sites = write(tmp_path / "sites.csv", ["site_id", "city"], [[f"{i:032x}", "Recife"] for i in range(40)])
    rows = [
        [
            str(i), f"K{i % 7}", f"Ana, \"{i}\"", random.choice(["a", "b"]), f"x{i}@example.org", f"0{i}", f"{i}.50",
            random.choice(["true", "false"]), f"2024-02-{i % 28 + 1:02}", f"2024-02-0{i % 9 + 1} 10:00:00", "", f"{i % 40:032x}",
            f"00{i % 9}", "null" if i % 3 else "7",
        ]
        for i in range(200)
    ]  # fmt: skip
    return [sites, write(tmp_path / "visits.csv", HEADER, rows)]


def drafted(project: Path, files: list[Path], source: str = "clinic") -> Source:
    text = drafts.add_entries(project, source, profile_files(files, source))
    path = project / "data_dictionary" / f"{source}.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return read_source(path)


def column(table: Table, header: str) -> tuple[str, str, bool, str]:
    result = next(c for c in table.columns if c.header == header)
    return result.name, result.logical_type, result.required, result.pii


def test_awkward_names_types_and_personal_data_are_drafted(project: Path, files: list[Path]) -> None:
    visits = drafted(project, files).table("visits")
    assert visits.header == tuple(HEADER)
    assert column(visits, "Id") == ("ID", "integer", True, "none")
    assert column(visits, "ID")[0] == "ID_2"
    assert column(visits, "Nome do Médico") == ("NOME_DO_MEDICO", "string", True, "direct")
    assert column(visits, "E-mail") == ("E_MAIL", "string", True, "direct")
    assert column(visits, "2nd value")[:2] == ("VISITS_2ND_VALUE", "string")  # leading zeros: a code
    assert column(visits, "Total (R$)")[:2] == ("TOTAL_R", "number")
    assert column(visits, "is active")[1] == "boolean"
    assert column(visits, "day")[1] == "date"
    assert column(visits, "at")[1] == "timestamp"
    assert column(visits, "état") == ("ETAT", "string", False, "none")
    assert column(visits, "code")[1] == "string"
    assert column(visits, "loaded_at")[1:3] == ("integer", False)
    assert visits.primary_key == ("ID",)
    assert [(link.columns, link.parent, link.parent_columns) for link in visits.relationships] == [
        (("REF",), "CLINIC_SITES", ("SITE_ID",))  # ids of 32 hex digits tell a link whatever the column is called
    ]


def test_a_link_is_drafted_where_every_value_is_a_key_of_the_other_file(project: Path, files: list[Path]) -> None:
    text = files[1].read_text(encoding="utf-8").replace(",ref,", ",site_id,", 1)
    files[1].write_text(text, encoding="utf-8")
    (link,) = drafted(project, files).table("visits").relationships
    assert (link.columns, link.parent, link.parent_columns) == (("SITE_ID",), "CLINIC_SITES", ("SITE_ID",))
    orphan = text.replace(f"{3:032x}", f"{99:032x}")
    files[1].write_text(orphan, encoding="utf-8")
    (project / "data_dictionary" / "clinic.odcs.yaml").unlink()
    assert drafted(project, files).table("visits").relationships == ()


def test_a_value_set_is_drafted_as_a_warning_and_a_name_never_is(project: Path, files: list[Path]) -> None:
    rules = [r for r in drafted(project, files).table("visits").rules if r.kind == "in_set"]
    assert (("a", "b"), "warning") in [(r.argument("values"), r.severity) for r in rules]
    assert not any("MEDICO" in str(r.column) or "MAIL" in str(r.column) for r in rules)


def test_what_is_drafted_renders_for_dbt_and_great_expectations(project: Path, files: list[Path]) -> None:
    source = drafted(project, files)
    assert len(render_dbt.render(source)) == 4
    assert render_expectations.render(source)
    names = render_dbt.staging_columns(source, source.table("visits"))
    assert len(set(names.values())) == len(HEADER)


def test_entries_are_added_to_a_contract_that_exists(project: Path, files: list[Path]) -> None:
    drafted(project, files[:1])
    both = drafted(project, files[1:])
    assert [t.name for t in both.tables] == ["sites", "visits"]
    with pytest.raises(ConfigurationError, match="has an entry for visits already"):
        drafted(project, files[1:])


def test_a_file_of_a_day_is_drafted_as_one_that_comes_each_day(project: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "clinic_calls_2024-02-01.csv", ["call_id"], [["a"], ["b"]])
    (table,) = drafted(project, [path]).tables
    assert (table.name, table.file, table.load) == ("calls", "clinic_calls_{date}.csv", "append")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty file"),
        (b"a,a\n1,2\n", "two columns are called 'a'"),
        (b"a,\n1,2\n", "column 2 is called ''"),
        ("a,b\u200b\n1,2\n".encode(), "column 2 is called 'b\\u200b'"),
        (b"a,b\n1,2,3\n", "another number of fields"),
    ],
)
def test_a_file_that_cannot_be_described_is_refused_with_its_reason(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        profile_files([path])
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_update_proposes_what_the_file_asks_for(project: Path, files: list[Path]) -> None:
    drafted(project, files)
    assert [
        p for p in drafts.propose(project, "clinic", profile_files(files, "clinic")) if "could be" not in p.change
    ] == []
    rows = [["x", "", f"Bo {i}", "c", "", "", "-1", "", "", "", "", "", "", "", "new"] for i in range(60)]
    write(files[1], [*HEADER, "extra"], rows)
    proposed = {(p.column, p.change) for p in drafts.propose(project, "clinic", profile_files(files, "clinic"))}
    assert ("extra", "add a property: logicalType string, pii none") in proposed
    assert ("Id", "logicalType: string") in proposed
    assert ("Id", "not unique") in proposed
    assert ("E-mail", "required: false") in proposed
    assert ("Total (R$)", "minimum: -1") in proposed


def test_a_dialect_is_recognised_and_written(project: Path, tmp_path: Path) -> None:
    lines = ["id;Preis;Stück;Tag;Zeit;Eilig;Prüfer;Betrag in $;Code"]
    lines += [
        f"{n};{n}.234,5{n % 10};{n};{n % 28 + 1:02}/{n % 12 + 1:02}/2024;{n % 28 + 1:02}.03.2024 10:0{n % 6};"
        f"{['Ja', 'Nein'][n % 2]};José {n};1,25;{n:05}"
        for n in range(60)
    ]
    path = tmp_path / "clinic_orders.csv.gz"
    path.write_bytes(gzip.compress("\r\n".join(lines).encode("windows-1252")))
    (table,) = drafted(project, [path]).tables
    assert table.file == "clinic_orders.csv"
    assert table.dialect == Dialect(delimiter=";", encoding="windows-1252", decimal=",", booleans=(("Ja", "Nein"),))
    kinds = {c.header: (c.logical_type, dict(c.reading)) for c in table.columns}
    assert kinds == {
        "id": ("integer", {"decimal": ","}),
        "Preis": ("number", {"decimal": ","}),
        "Stück": ("integer", {"decimal": ","}),
        "Tag": ("date", {"format": "DD/MM/YYYY"}),
        "Zeit": ("timestamp", {"format": "DD.MM.YYYY HH24:MI"}),
        "Eilig": ("boolean", {"words": (("Ja", "Nein"),)}),
        "Prüfer": ("string", {}),
        "Betrag in $": ("number", {"decimal": ","}),
        "Code": ("string", {}),
    }


@pytest.mark.parametrize(
    ("text", "dialect", "kinds"),
    [
        ("a|b\n'x|y'|1\n'z'|2\n", Dialect(delimiter="|", quote="'"), ["string", "integer"]),
        ("a\tb\r1\t2.5\r", Dialect(delimiter="\t", line_end="cr"), ["integer", "number"]),
        ('a,b\n"1,5",x\n"2,25",y\n', Dialect(decimal=","), ["number", "string"]),
        ('a,b\n"1,500",x\n"2,250",y\n', Dialect(), ["string", "string"]),  # thousands, in English
        ("a;b\n1,5;2.5\n2,25;3.5\n", Dialect(delimiter=";"), ["string", "number"]),  # one of each: neither is sure
        ("a;b\n01/02/2024;x\n03/04/2024;y\n", Dialect(delimiter=";"), ["date", "string"]),  # a guess, and said so
        ("a,b\nS,x\nN,y\n", Dialect(booleans=(("S", "N"),)), ["boolean", "string"]),
        ("a,b,c\n1,NA,NA\n2,2.5,x\n,-,y\n", Dialect(nulls=("null", "NA", "-")), ["integer", "number", "string"]),
        ("a,b\n01.02.2024,\\N\nNULL,7\n31.12.2024,8\n", Dialect(nulls=("null", "NULL", "\\N")), ["date", "integer"]),
        ("a,b\n1, NA\n2,2.5\n", Dialect(), ["integer", "string"]),  # with a blank before it COPY takes it for a text
        ("a,b\nNA,x\n-,y\n", Dialect(), ["string", "string"]),  # words among words
        ("7;a;2024-01-01\n8;b;2024-01-02\n", Dialect(delimiter=";", header=False), ["integer", "string", "date"]),
        ("place,2023,2024\nnorth,5,6\n", Dialect(), ["string", "integer", "integer"]),  # years are names
        ("a,b\nyes,true\nno,false\n", Dialect(booleans=(("yes", "no"), ("true", "false"))), ["boolean", "boolean"]),
    ],
)
def test_what_is_not_sure_stays_text_or_is_called_a_guess(
    text: str, dialect: Dialect, kinds: list[str], project: Path, tmp_path: Path
) -> None:
    path = tmp_path / "clinic_things.csv"
    path.write_bytes(text.encode())
    (table,) = drafted(project, [path]).tables
    assert (table.dialect, [c.logical_type for c in table.columns]) == (dialect, kinds)
    if "01/02/2024" in text:
        contract = (project / "data_dictionary" / "clinic.odcs.yaml").read_text()
        assert "DD/MM/YYYY is a guess: no value rules MM/DD/YYYY out" in contract


def test_a_run_reads_null_words_and_a_missing_header_as_they_were_drafted(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "data" / "clinic_visits.csv"
    path.parent.mkdir()
    path.write_text("17,NA,2024-01-01,north\n18,2.5,\\N,-\n19,-,2024-02-29,south\n", encoding="utf-8")
    contract = drafted(project, [path])
    said = (project / "data_dictionary" / "clinic.odcs.yaml").read_text()
    assert "the file seems to have no header: its columns are numbered" in said
    assert "NA, \\N, -: a guess" in said
    (column,) = (c for c in contract.tables[0].columns if c.header == "c4")
    assert (contract.tables[0].dialect.header, column.required) == (False, False)
    report = check(contract, local(path.parent), None)
    assert [(f.status, f.rows, f.broken) for f in report.files] == [("good", 3, ())]
    assert not report.refused


def test_a_file_of_many_columns_is_drafted(tmp_path: Path) -> None:
    """Counting what is distinct in 110 columns at once took more memory than the draft may have."""
    header = [f"column {n}" for n in range(150)]
    path = write(tmp_path / "wide.csv", header, [[str(n * row) for n in range(150)] for row in range(40)])
    (profile,) = profile_files([path])
    assert (profile.rows, len(profile.columns)) == (40, 150)
    assert {column.logical_type for column in profile.columns} == {"integer"}


def test_cxm_check_judges_a_drafted_dialect_as_a_run_does(project: Path, tmp_path: Path) -> None:
    lines = ["id;Preis;Tag;Eilig"] + [
        f"{n};1.{n:03},25;{n % 28 + 1:02}/02/2024;{['Ja', 'Nein'][n % 2]}" for n in range(40)
    ]
    path = tmp_path / "data" / "clinic_orders.csv.gz"
    path.parent.mkdir()

    def judged() -> dict[str, list[str]]:
        path.write_bytes(gzip.compress("\r\n".join(lines).encode("utf-16")))
        report = check(contract, local(path.parent), None)
        assert not report.refused
        return {f.status: [b.rule for b in f.broken] for f in report.files}

    path.write_bytes(gzip.compress("\r\n".join(lines).encode("utf-16")))
    contract = drafted(project, [path])
    assert contract.tables[0].dialect.encoding == "utf-16"
    assert judged() == {"good": []}
    lines[3] = "2;1.02,25;30/02/2024;Jein"
    assert judged() == {"bad": ["orders.number(PREIS)", "orders.date(TAG)", "orders.boolean(EILIG)"]}
