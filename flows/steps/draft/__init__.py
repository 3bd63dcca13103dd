"""Profiles CSV files that have no contract yet: types, keys, value sets, ranges, links between files, likely personal data.

file ──`reading`──▶ UTF-8 ──DuckDB, whole content──▶ `FileProfile` ──`flows.contract.render_draft`──▶ entries of a contract

Nothing is sampled: a type, a key or a value set holds for every record, so a run of the same file breaks no drafted rule. Values
are read as staging and the rules read them: an empty field, only blanks, and `null` are NULL; blanks at both ends are trimmed.

Long because the guesses about a column have different evidence, which one query collects.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb

from flows.contract.model import LogicalType
from flows.contract.raw_names import words_of
from flows.contract.read_dialect import FORMATS
from flows.contract.render_draft import ColumnProfile, FileProfile, Link, Parent
from flows.contract.values import FIRST_YEAR, shape
from flows.errors import DataError
from flows.steps.draft.reading import COMMA_INTEGER, COMMA_NUMBER, Readable, decimal_of, null_words, readable
from flows.unpack import SUFFIXES

# A column of at most 12 values, repeated 10 times on average, in a file of at least 50 records, is proposed as a value set.
MOST_VALUES, LEAST_REPEATS, LEAST_ROWS = 12, 10, 50
# DuckDB keeps a hash table for each distinct count; those of a hundred columns at once do not fit into memory.
COLUMNS_AT_ONCE = 10

_INTEGER = "[-+]?[0-9]{1,18}"  # more digits are likely a code, and do not fit into every engine's integers
_NUMBER = "[-+]?([0-9]{1,20}([.][0-9]*)?|[.][0-9]+)"  # as many digits as the rule on numbers accepts
_NINE_PLACES = "[^.]*([.][0-9]{0,9})?"  # staging's numbers have nine decimal places
# Words for yes and no, in the languages of our sources' files.
_YES_AND_NO = (
    ("ja", "nein"), ("sim", "não"), ("sim", "nao"), ("sí", "no"), ("si", "no"), ("oui", "non"), ("yes", "no"), ("true", "false"),
    ("vrai", "faux"), ("wahr", "falsch"), ("j", "n"), ("s", "n"), ("y", "n"), ("o", "n"), ("t", "f"),
)  # fmt: skip
# Codes that look like numbers: as a number they would lose their leading zeros.
_CODE = "[-+]?0[0-9]+"
# What staging and the rules trim from both ends of a text: space, tab, CR and LF.
_BLANK = "chr(32) || chr(9) || chr(13) || chr(10)"
_HEX32, _UUID = "[0-9a-f]{32}", "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

# Personal data is guessed from the words of a header (accents removed), and from what every value looks like.
_DIRECT_WORDS = frozenset(
    (
        "name", "nome", "firstname", "lastname", "surname", "sobrenome", "fullname", "patient", "paciente", "email", "mail",
        "phone", "telefone", "fone", "celular", "mobile", "fax", "address", "endereco", "street", "rua", "logradouro", "cpf",
        "rg", "ssn", "passport", "passaporte", "birth", "birthdate", "birthday", "nascimento", "dob", "iban", "person", "doctor",
        "physician", "surgeon", "nurse", "employee", "username", "contact",
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
    """Profile each file. Links are searched among the files themselves and in `parents`.

    `prefix`: the common prefix of the source's file names, which is left out of the table's name.

    Raises:
        DataError: a file is missing or empty, a header has an empty or repeated name, or a record's number of fields differs
            from the header's; the message names file and line.
    """
    with _database() as (duck, folder):
        profiles = [_profile(duck, path, f"f{number}", prefix, folder) for number, path in enumerate(paths)]
        known = [
            (Parent(p.table, p.key[0], _position(p, p.key[0]), p.path), f"f{number}")
            for number, p in enumerate(profiles)
            if len(p.key) == 1
        ]
        for number, parent in enumerate(parents):
            if parent.path.is_file():
                _read(duck, parent.path, f"p{number}", folder)
                known.append((parent, f"p{number}"))
        return tuple(
            replace(profile, links=tuple(_links(duck, profile, f"f{number}", known)))
            for number, profile in enumerate(profiles)
        )


@contextmanager
def _database() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open a DuckDB database on disk, so that memory stays bounded for any file size, and a folder for copies of files."""
    with tempfile.TemporaryDirectory(prefix="cxm-draft-") as folder:
        duck = duckdb.connect(str(Path(folder) / "draft.duckdb"))
        try:
            duck.execute("SET memory_limit = '1GB'")
            duck.execute(f"SET temp_directory = '{folder}/spill'")
            yield duck, Path(folder)
        finally:
            duck.close()


def _read(duck: duckdb.DuckDBPyConnection, path: Path, name: str, folder: Path) -> Readable:
    """Load the file's records into table `name` with columns c1, c2 …"""
    file = readable(path, folder, name)
    _load(duck, file, name)
    words = null_words(duck, name, len(file.header))
    while words:  # load the file again: COPY takes a word with blanks around it as text, so its column holds texts
        of_file = replace(file, dialect=replace(file.dialect, nulls=(*file.dialect.nulls, *words)))
        _load(duck, of_file, name)
        if not (texts := null_words(duck, name, len(file.header))):
            return of_file
        words = tuple(word for word in words if word not in texts)
        _load(duck, file, name)
    return file


def _load(duck: duckdb.DuckDBPyConnection, file: Readable, name: str) -> None:
    numbers = range(1, len(file.header) + 1)
    columns = ", ".join(f"'c{n}': 'VARCHAR'" for n in numbers)
    written = file.dialect
    nulls = ", ".join(map(_literal, written.nulls))
    empty = "CASE WHEN c{n} IN (" + nulls + ") THEN NULL ELSE c{n} END"
    values = ", ".join(f"nullif(trim({empty.format(n=n)}, {_BLANK}), '') AS c{n}" for n in numbers)
    quote, end = _literal(written.quote), ", new_line = '\\r'" if written.line_end == "cr" else ""
    try:
        duck.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT {values} FROM read_csv({_literal(str(file.path))}, auto_detect = false, "
            f"header = {str(written.header).lower()}, delim = {_literal(written.delimiter)}, quote = {quote}, "
            f"escape = {quote}, nullstr = '', "
            f"columns = {{{columns}}}, strict_mode = true, max_line_size = 67108864{end})"
        )
    except duckdb.Error as error:
        raise DataError(f"{file.named}: {_reason(str(error), len(file.header))}") from None


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _reason(message: str, fields: int) -> str:
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {line[1]}: " if line else ""
    if "Number of Columns" in message or "Columns" in message:
        return (
            f"{where}a record with another number of fields than the header's {fields}; quote fields that hold commas"
        )
    if "quote" in message.lower():
        return f"{where}a quote that opens and never closes, or text after a closing quote; double the quotes inside a field"
    return f"{where}not valid CSV ({message.splitlines()[0][:200]})"


def _profile(duck: duckdb.DuckDBPyConnection, path: Path, name: str, prefix: str, folder: Path) -> FileProfile:
    file = _read(duck, path, name, folder)
    table, called = _names(path, prefix)
    decimal = decimal_of(duck, name, len(file.header))
    formats = _formats(duck, name, len(file.header))
    comma = decimal == ","
    tests = {
        "integer": COMMA_INTEGER if comma else _INTEGER, "number": COMMA_NUMBER if comma else _NUMBER,
        "nine": _NINE_PLACES.replace("[.]", ",").replace("[^.]", "[^,]") if comma else _NINE_PLACES,
        "boolean": "true|false", "hex": _HEX32, "uuid": _UUID, **_DIRECT_VALUES,
    }  # fmt: skip
    asked: list[list[str]] = []
    for n in range(1, len(file.header) + 1):
        c = f"c{n}"
        plain = f"replace(replace({c}, '.', ''), ',', '.')" if comma else c
        parts = [f"count({c})", f"count(DISTINCT {c})", f"count(*) FILTER (regexp_full_match({c}, '{_CODE}'))"]
        parts += [f"min(TRY_CAST({plain} AS DOUBLE))", f"max(TRY_CAST({plain} AS DOUBLE))"]
        parts += [f"count(DISTINCT TRY_CAST({plain} AS HUGEINT))"]
        parts += [f"count(*) FILTER (regexp_full_match({c}, '{pattern}'))" for pattern in tests.values()]
        for spelled in formats[n - 1]:
            instant = f"try_strptime({c}, '{_strptime(spelled)}')"
            is_one = f"regexp_full_match({c}, '{shape(spelled)}')"
            parts += [f"count(*) FILTER ({is_one})", f"count(*) FILTER ({is_one} AND year({instant}) >= {FIRST_YEAR})"]
        asked.append(parts)
    row = duck.execute(f"SELECT count(*) FROM {name}").fetchone() or ()
    for start in range(0, len(asked), COLUMNS_AT_ONCE):
        group = [part for parts in asked[start : start + COLUMNS_AT_ONCE] for part in parts]
        row += duck.execute(f"SELECT {', '.join(group)} FROM {name}").fetchone() or ()
    rows, at, columns, pairs = int(row[0]), 1, [], list[tuple[str, str]]()
    for n, text in enumerate(file.header):
        facts, at = row[at : at + 6], at + 6
        matched, at = dict(zip(tests, row[at : at + len(tests)], strict=True)), at + len(tests)
        dates = {spelled: row[at + 2 * i : at + 2 * i + 2] for i, spelled in enumerate(formats[n])}
        at += 2 * len(dates)
        column = _column(text, rows, facts, matched, dates)
        if column.logical_type == "string" and 1 < column.distinct <= MOST_VALUES:
            picked = duck.execute(
                f"SELECT DISTINCT c{n + 1} FROM {name} WHERE c{n + 1} IS NOT NULL ORDER BY 1"
            ).fetchall()
            values = tuple(str(value) for (value,) in picked)
            if pair := _yes_and_no(values):
                pairs.append(pair)
                column = replace(column, logical_type="boolean", note=f"{pair[0]} and {pair[1]} are read as yes and no")
            elif column.pii == "none" and _is_value_set(column):
                column = replace(column, values=values)
        columns.append(column)
    if pairs and any(c.logical_type == "boolean" and not c.note for c in columns):
        pairs.append(("true", "false"))
    dialect = replace(file.dialect, decimal=decimal, booleans=tuple(dict.fromkeys(pairs)))
    return FileProfile(path, table, called, rows, tuple(columns), _key(duck, name, rows, columns), dialect=dialect)


def _formats(duck: duckdb.DuckDBPyConnection, name: str, columns: int) -> list[list[str]]:
    """Return for each column the date and timestamp formats (as Snowflake spells them) that its first value matches."""
    firsts = ", ".join(f"any_value(c{n})" for n in range(1, columns + 1))
    row = duck.execute(f"SELECT {firsts} FROM {name}").fetchone() or ()
    known = [spelled for kind in FORMATS.values() for spelled in kind.values() if spelled != "YYYYMMDD"]
    return [[f for f in known if value is not None and re.fullmatch(shape(f), value)] for value in row]


def _strptime(spelled: str) -> str:
    parts = {"YYYY": "%Y", "HH24": "%H", "MM": "%m", "DD": "%d", "MI": "%M", "SS": "%S"}
    return re.sub("|".join(parts), lambda part: parts[part[0]], spelled)


def _yes_and_no(values: Sequence[str]) -> tuple[str, str] | None:
    """Return the column's words for yes and no, as spelled in the file, if its two values are such a pair."""
    lower = {value.lower(): value for value in values}
    for yes, no in _YES_AND_NO:
        if len(values) == 2 and set(lower) == {yes, no}:
            return lower[yes], lower[no]
    return None


def _names(path: Path, prefix: str) -> tuple[str, str]:
    """Name the table and its file: `orders_dataset.csv` → (orders, orders_dataset.csv), `visits_2018-03-01.csv` → (visits,
    visits_{date}.csv)."""
    called = next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(f".csv{s}")), path.name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_]*(_[0-9]{4}-[0-9]{2}-[0-9]{2})?[.]csv", called):
        raise DataError(
            f"{path}: got the file name {path.name!r}, expected letters, digits and _ before .csv (and, for a file of a day, "
            "_YYYY-MM-DD at the end); rename it"
        )
    stem = re.sub(r"_[0-9]{4}-[0-9]{2}-[0-9]{2}$", "", called.removesuffix(".csv"))
    file = called if called == f"{stem}.csv" else f"{stem}_{{date}}.csv"
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_").removeprefix(f"{prefix}_").removesuffix("_dataset")
    return (name if name[:1].isalpha() else f"t_{name}"), file


def _column(
    header: str, rows: int, facts: Sequence[Any], matched: dict[str, int], dates: Mapping[str, Sequence[int]]
) -> ColumnProfile:
    """Make the profile of one column. `dates`: format → how many values look like it, and how many of those are valid dates."""
    filled, distinct, codes, lowest, highest, numbers = facts
    kind: LogicalType = "string"
    pattern = note = ""
    fitting = [spelled for spelled, (_, instants) in dates.items() if filled and instants == filled]

    def all_are(name: str) -> bool:
        return bool(filled) and matched[name] == filled

    if all_are("integer") and not codes:
        kind = "integer"
    elif all_are("number") and not codes:
        kind = "number"
        note = "" if all_are("nine") else "some have more than nine decimal places: staging rounds them"
    elif fitting:
        kind = "timestamp" if "HH24" in fitting[0] else "date"
        if len(fitting) > 1:
            note = f"{fitting[0]} is a guess: no value rules {fitting[1]} out"
    elif all_are("boolean"):
        kind = "boolean"
    elif all_are("hex"):
        pattern = f"^{_HEX32}$"
    elif all_are("uuid"):
        pattern = f"^{_UUID}$"
    elif filled and matched["number"] == filled:
        note = "digits with leading zeros: a code, not a number"
    elif filled and any(alike == filled for alike, _ in dates.values()):
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
        format=_odcs(fitting[0]) if kind in ("date", "timestamp") else "",
        pattern=pattern,
        lowest=lowest if numeric else None,
        highest=highest if numeric else None,
        pii=pii,  # type: ignore[arg-type]
        guess=guess,
        note=note,
        rows=rows,
    )


def _odcs(spelled: str) -> str:
    """Return the contract's spelling of a format."""
    return next(ours for kind in FORMATS.values() for ours, theirs in kind.items() if theirs == spelled)


def unread(header: str) -> ColumnProfile:
    """Make the profile of a column of which only the header is known."""
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
    """Find the headers of the key: one column, or else two. Columns named like an id or a number are preferred."""
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
        row = duck.execute(f"SELECT count(*) FROM (SELECT DISTINCT {pair} FROM {name})").fetchone()
        if row and row[0] == rows:
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
    """Find columns whose values all exist in a parent's key. A column with another name must hold ids like hashes or UUIDs,
    because small numbers match any key."""
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
