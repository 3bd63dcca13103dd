"""CSV files that no contract describes → what they hold: types, keys, value sets, ranges, links, guesses at personal data.

file ──DuckDB, whole content──▶ `FileProfile` ──`flows.contract.render_draft`──▶ schema entries of a contract

Nothing is sampled: a type, a key or a value set is true of every record, so that a run of the same file breaks no drafted rule.
Values are read as staging reads them, and the rules with it: an empty field, blanks alone and `null` are NULL, blanks at the ends
are no part of a value.

Long because each guess at a column has its own evidence, and they are read together.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from flows.contract.model import LogicalType
from flows.contract.raw_names import words_of
from flows.contract.render_draft import ColumnProfile, FileProfile, Link, Parent
from flows.contract.values import FIRST_YEAR
from flows.errors import DataError

# A column with few values that are repeated often is taken for a value set.
MOST_VALUES, LEAST_REPEATS, LEAST_ROWS = 12, 10, 50
_OTHER_DELIMITERS = {";": "semicolon", "\t": "tab", "|": "pipe"}

_INTEGER = "[-+]?[0-9]{1,18}"  # more digits are a code; they would not fit into every engine's integers either
_NUMBER = "[-+]?([0-9]{1,20}([.][0-9]*)?|[.][0-9]+)"  # as many as the rule on numbers takes
_NINE_PLACES = "[^.]*([.][0-9]{0,9})?"  # staging's numbers have nine
_DATE = "(158[2-9]|159[0-9]|1[6-9][0-9]{2}|[2-9][0-9]{3})-[0-9]{2}-[0-9]{2}"  # the rule's years
_TIME = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
# Codes that look like numbers: leading zeros would be lost in a number.
_CODE = "[-+]?0[0-9]+"
# What staging takes from both ends of a text, and the rules with it: chr(32), tab, CR and LF.
_BLANK = "chr(32) || chr(9) || chr(13) || chr(10)"
_HEX32, _UUID = "[0-9a-f]{32}", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

# Guesses at personal data: by the words of a header (accents removed), and by what every value looks like.
_DIRECT_WORDS = frozenset(
    (
        "name", "nome", "firstname", "lastname", "surname", "sobrenome", "fullname", "patient", "paciente", "email", "mail",
        "phone", "telefone", "fone", "celular", "mobile", "fax", "address", "endereco", "street", "rua", "logradouro", "cpf",
        "rg", "ssn", "passport", "passaporte", "birth", "birthdate", "birthday", "nascimento", "dob", "iban",
    )
)  # fmt: skip
_INDIRECT_WORDS = frozenset(
    (
        "zip", "cep", "postal", "postcode", "city", "cidade", "age", "idade", "gender", "sexo", "lat", "latitude", "lng",
        "longitude", "ip",
    )
)  # fmt: skip
_NOT_PERSONS = frozenset(
    (
        "product", "produto", "category", "categoria", "file", "table", "device", "kit", "brand", "model", "company", "hospital",
    )
)  # fmt: skip
_DIRECT_VALUES = {
    "an e-mail address": "[^@ ]+@[^@ ]+[.][A-Za-z]{2,}",
    "a CPF": "[0-9]{3}[.][0-9]{3}[.][0-9]{3}-[0-9]{2}",
    "a CNPJ": "[0-9]{2}[.][0-9]{3}[.][0-9]{3}/[0-9]{4}-[0-9]{2}",
    "a phone number": "([+][0-9]{1,3}[ -]?)?[(][0-9]{2,4}[)] ?[0-9]{3,5}[ -]?[0-9]{3,5}|[+][0-9]{1,3}[0-9 ()-]{7,18}",
}


def profile_files(paths: Sequence[Path], prefix: str = "", parents: Sequence[Parent] = ()) -> tuple[FileProfile, ...]:
    """What each file holds; links are looked for among the files themselves and in `parents`.

    `prefix`: what the names of the source's files begin with, which is left out of the table's name.

    Raises:
        DataError: a file is missing, empty, not UTF-8, has another delimiter than the comma, a header with an empty or repeated
            name, or a record with another number of fields; the message names file and line.
    """
    with _database() as duck:
        found = [_profile(duck, path, f"f{number}", prefix) for number, path in enumerate(paths)]
        known = [
            (Parent(p.table, p.key[0], _position(p, p.key[0]), p.path), f"f{number}")
            for number, p in enumerate(found)
            if len(p.key) == 1
        ]
        for number, parent in enumerate(parents):
            if parent.path.is_file():
                _read(duck, parent.path, f"p{number}")
                known.append((parent, f"p{number}"))
        return tuple(
            replace(profile, links=tuple(_links(duck, profile, f"f{number}", known)))
            for number, profile in enumerate(found)
        )


@contextmanager
def _database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB on disk, so that memory stays bounded whatever the files' sizes."""
    with tempfile.TemporaryDirectory(prefix="cxm-draft-") as folder:
        duck = duckdb.connect(str(Path(folder) / "draft.duckdb"))
        try:
            duck.execute("SET memory_limit = '1GB'")
            duck.execute(f"SET temp_directory = '{folder}/spill'")
            yield duck
        finally:
            duck.close()


def _read(duck: duckdb.DuckDBPyConnection, path: Path, name: str) -> list[str]:
    """The file's records as table `name` with columns c1, c2 …; its header."""
    header = _header(path)
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in range(1, len(header) + 1))
    text = str(path).replace("'", "''")
    values = ", ".join(f"nullif(trim(nullif(c{n}, 'null'), {_BLANK}), '') AS c{n}" for n in range(1, len(header) + 1))
    try:
        duck.execute(
            f"CREATE TABLE {name} AS SELECT {values} FROM read_csv('{text}', auto_detect = false, header = true, delim = ',', "
            f"quote = '\"', escape = '\"', nullstr = '', columns = {{{columns}}}, strict_mode = true, "
            "max_line_size = 67108864)"
        )
    except duckdb.Error as error:
        raise DataError(f"{path}: {_reason(str(error), len(header))}") from None
    return header


def _reason(message: str, fields: int) -> str:
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {line[1]}: " if line else ""
    if "unicode" in message.lower() or "utf-8" in message.lower():
        return f"{where}not UTF-8; expected UTF-8 (a Latin-1 file converts with `iconv -f LATIN1 -t UTF-8`)"
    if "Number of Columns" in message or "Columns" in message:
        return (
            f"{where}a record with another number of fields than the header's {fields}; quote fields that hold commas"
        )
    if "quote" in message.lower():
        return f"{where}a quote that opens and never closes, or text after a closing quote; double the quotes inside a field"
    return f"{where}not valid CSV ({message.splitlines()[0][:200]})"


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file, strict=True), [])
    except FileNotFoundError:
        raise DataError(f"{path}: not found; name a CSV file") from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path}, line 1: not UTF-8; expected UTF-8 (a Latin-1 file converts with `iconv -f LATIN1 -t UTF-8`)"
        ) from None
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not valid CSV ({error})") from None
    if not header:
        raise DataError(f"{path}: empty file; expected a header and records")
    if len(header) == 1:
        for mark, word in _OTHER_DELIMITERS.items():
            if mark in header[0]:
                raise DataError(
                    f"{path}, line 1: fields seem to be separated by a {word}; expected commas; export it again"
                )
    for number, name in enumerate(header, 1):
        if not name.strip() or name != name.strip() or not name.isprintable():
            raise DataError(
                f"{path}, line 1: column {number} is called {name!r}; expected a name without line breaks and without space "
                "around it; correct the header"
            )
        if header.count(name) > 1:
            raise DataError(f"{path}, line 1: two columns are called {name!r}; expected each name once; rename one")
    return header


def _profile(duck: duckdb.DuckDBPyConnection, path: Path, name: str, prefix: str) -> FileProfile:
    header = _read(duck, path, name)
    table, file = _names(path, prefix)
    tests = {
        "integer": _INTEGER, "number": _NUMBER, "nine": _NINE_PLACES, "date": _DATE,
        "timestamp": f"{_DATE} {_TIME}", "boolean": "true|false",
        "hex": _HEX32, "uuid": _UUID, **_DIRECT_VALUES,
    }  # fmt: skip
    parts = ["count(*)"]
    for n in range(1, len(header) + 1):
        c = f"c{n}"
        parts += [f"count({c})", f"count(DISTINCT {c})", f"count(*) FILTER (regexp_full_match({c}, '{_CODE}'))"]
        parts += [f"min(TRY_CAST({c} AS DOUBLE))", f"max(TRY_CAST({c} AS DOUBLE))"]
        parts += [
            f"count(*) FILTER (year(TRY_CAST({c} AS TIMESTAMP)) >= {FIRST_YEAR})",
            f"count(DISTINCT TRY_CAST({c} AS HUGEINT))",
        ]
        parts += [f"count(*) FILTER (regexp_full_match({c}, '{pattern}'))" for pattern in tests.values()]
    row = duck.execute(f"SELECT {', '.join(parts)} FROM {name}").fetchone() or ()
    rows, width = int(row[0]), 7 + len(tests)
    columns = []
    for n, text in enumerate(header):
        facts = row[1 + n * width : 1 + (n + 1) * width]
        matched = dict(zip(tests, facts[7:], strict=True))
        column = _column(text, rows, facts[:7], matched)
        if column.logical_type == "string" and column.pii == "none" and _is_value_set(column):
            found = duck.execute(
                f"SELECT DISTINCT c{n + 1} FROM {name} WHERE c{n + 1} IS NOT NULL ORDER BY 1"
            ).fetchall()
            column = replace(column, values=tuple(str(value) for (value,) in found))
        columns.append(column)
    return FileProfile(path, table, file, rows, tuple(columns), _key(duck, name, rows, columns))


def _names(path: Path, prefix: str) -> tuple[str, str]:
    """`olist_orders_dataset.csv` → (orders_dataset, the same name); `visits_2018-03-01.csv` → (visits, visits_{date}.csv)."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*(_[0-9]{4}-[0-9]{2}-[0-9]{2})?[.]csv", path.name):
        raise DataError(
            f"{path}: got the file name {path.name!r}, expected letters, digits and _ before .csv (and, for a file of a day, "
            "_YYYY-MM-DD at the end); rename it"
        )
    stem = re.sub(r"_[0-9]{4}-[0-9]{2}-[0-9]{2}$", "", path.stem)
    file = path.name if stem == path.stem else f"{stem}_{{date}}.csv"
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_").removeprefix(f"{prefix}_").removesuffix("_dataset")
    return (name if name[:1].isalpha() else f"t_{name}"), file


def _column(header: str, rows: int, facts: Sequence[Any], matched: dict[str, int]) -> ColumnProfile:
    filled, distinct, codes, lowest, highest, instants, numbers = facts
    kind: LogicalType = "string"
    pattern = note = ""

    def all_are(name: str) -> bool:
        return bool(filled) and matched[name] == filled

    if all_are("integer") and not codes:
        kind = "integer"
    elif all_are("number") and not codes:
        kind = "number"
        note = "" if all_are("nine") else "some have more than nine decimal places: staging rounds them"
    elif all_are("date") and instants == filled:
        kind = "date"
    elif all_are("timestamp") and instants == filled:
        kind = "timestamp"
    elif all_are("boolean"):
        kind = "boolean"
    elif all_are("hex"):
        pattern = f"^{_HEX32}$"
    elif all_are("uuid"):
        pattern = f"^{_UUID}$"
    elif filled and matched["number"] == filled:
        note = "digits with leading zeros: a code, not a number"
    elif filled and (matched["date"] == filled or matched["timestamp"] == filled):
        note = f"looks like dates, and some are no calendar dates from {FIRST_YEAR} on"
    elif filled and matched["number"] >= 0.9 * filled:
        note = f"{filled - matched['number']:,} of {filled:,} values are no numbers"
    if not filled:
        note = "no record has a value: the type is not known"
    personal = next((reason for reason in _DIRECT_VALUES if all_are(reason)), "")
    pii, guess = ("direct", f"every value looks like {personal}") if personal else _guess(header)
    numeric = kind in ("integer", "number")
    return ColumnProfile(
        header=header,
        nulls=rows - filled,
        distinct=numbers if kind == "integer" else distinct,  # +1 and 1 are one number
        logical_type=kind,
        pattern=pattern,
        lowest=lowest if numeric else None,
        highest=highest if numeric else None,
        pii=pii,  # type: ignore[arg-type]
        guess=guess,
        note=note,
        rows=rows,
    )


def unread(header: str) -> ColumnProfile:
    """What is known of a column by its header alone."""
    pii, guess = _guess(header)
    note = "RAW holds text: `cxm contract draft --update` proposes a type"
    return ColumnProfile(header, 0, 0, 0, "string", pii=pii, guess=guess, note=note)  # type: ignore[arg-type]


def _guess(header: str) -> tuple[str, str]:
    words = set(words_of(header))
    joined = "".join(words_of(header))
    if words & _NOT_PERSONS:
        return "none", ""
    if hit := (words & _DIRECT_WORDS) or ({joined} & _DIRECT_WORDS):
        return "direct", f"the header says {sorted(hit)[0]}"
    if hit := words & _INDIRECT_WORDS:
        return "indirect", f"the header says {sorted(hit)[0]}"
    return "none", ""


def _is_value_set(column: ColumnProfile) -> bool:
    filled = column.rows - column.nulls
    few = 1 < column.distinct <= MOST_VALUES
    return few and column.rows >= LEAST_ROWS and filled >= LEAST_REPEATS * column.distinct


def _key(duck: duckdb.DuckDBPyConnection, name: str, rows: int, columns: Sequence[ColumnProfile]) -> tuple[str, ...]:
    """The headers of what identifies a record: one column, else two; columns called id or number before others."""
    if rows < 2:
        return ()
    able = [c for c in columns if not c.nulls and c.logical_type in ("string", "integer") and c.pii != "direct"]
    ranked = sorted(able, key=lambda c: (not _is_called_key(c.header), columns.index(c)))
    for column in ranked:
        if column.unique and (_is_called_key(column.header) or column.pattern or column is columns[0]):
            return (column.header,)
    numbers = {c.header: n for n, c in enumerate(columns, 1)}
    called = [c for c in ranked if _is_called_key(c.header) and c.distinct > 1][:6]
    for first, second in combinations(sorted(called, key=columns.index), 2):
        if first.distinct * second.distinct < rows:
            continue
        pair = f"c{numbers[first.header]}, c{numbers[second.header]}"
        found = duck.execute(f"SELECT count(*) FROM (SELECT DISTINCT {pair} FROM {name})").fetchone()
        if found and found[0] == rows:
            return (first.header, second.header)
    return ()


def _is_called_key(header: str) -> bool:
    words = words_of(header)
    return bool(words) and words[-1] in (
        "id",
        "no",
        "nr",
        "number",
        "key",
        "code",
        "codigo",
        "sequential",
        "seq",
        "line",
        "item",
    )


def _position(profile: FileProfile, header: str) -> int:
    return next(n for n, c in enumerate(profile.columns, 1) if c.header == header)


def _links(
    duck: duckdb.DuckDBPyConnection, profile: FileProfile, name: str, parents: Sequence[tuple[Parent, str]]
) -> Iterator[Link]:
    """Columns whose values are all in a parent's key. A column of another name needs values that are no small numbers."""
    for n, column in enumerate(profile.columns, 1):
        if column.logical_type not in ("string", "integer") or not column.distinct:
            continue
        for parent, table in parents:
            if table == name or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", parent.header):
                continue
            same_name = words_of(column.header) in (words_of(parent.header), [*words_of(parent.table), "id"])
            if not same_name and not column.pattern:
                continue
            missing = duck.execute(
                f"SELECT count(*) FROM (SELECT DISTINCT c{n} AS v FROM {name} WHERE c{n} IS NOT NULL) "
                f"ANTI JOIN {table} ON v = c{parent.position}"
            ).fetchone()
            if missing and missing[0] == 0:
                yield Link(column.header, parent.table, parent.header, parent.source)
                break
