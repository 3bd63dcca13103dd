"""Snowflake's documentation of single statements, checked against the embedded warehouse. The cases are `documented/*.yaml`.

The rule: a statement gives what Snowflake documents, or is refused at once with a message that says so. `documented/README.md`
says how a case is written.
"""

from __future__ import annotations

import datetime
import functools
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from snowflake.connector.constants import FIELD_ID_TO_NAME
from snowflake.connector.errors import Error

from tests.embedded.conftest import ObjectStore, Warehouse, integration_for, made_bucket

CASES = Path(__file__).with_name("documented")
KEYS = {"sql", "before", "files", "rows", "types", "names", "columns", "error", "message", "refused", "known", "page"}
REFUSED = 2  # 000002: legal on Snowflake, not supported here
# Their cases, two fifths of all (2026-11-28), make many objects each: the soak runs them.
IN_SOAK = {
    "changes", "clients", "copy", "ddl", "definitions", "edges", "grants", "information", "listings", "masking", "privileges",
    "sessions", "show", "staged", "tables", "writes",
}  # fmt: skip
_numbers = itertools.count(1)


@functools.cache
def cases() -> list[dict[str, Any]]:
    """Return every case with its area, which is its file's name."""
    result = []
    for file in sorted(CASES.glob("*.yaml")):
        read = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        result += [{**case, "area": file.stem} for case in read]
    return result


def _parameter(case: dict[str, Any]) -> Any:
    marks = [pytest.mark.xfail(strict=True, reason=case["known"])] if "known" in case else []
    marks += [pytest.mark.soak] if case["area"] in IN_SOAK else []
    return pytest.param(case, id=f"{case['area']}: {' '.join(case['sql'].split())[:90]}", marks=marks)


@pytest.fixture(scope="module")
def database(warehouse: Warehouse) -> Iterator[str]:
    with warehouse.connect() as connection:
        connection.cursor().execute("CREATE DATABASE DOCUMENTED")
    yield "DOCUMENTED"
    with warehouse.connect() as connection:
        connection.cursor().execute("DROP DATABASE DOCUMENTED")


@pytest.fixture(scope="module")
def shared(warehouse: Warehouse, database: str) -> Iterator[Any]:
    """One session for the cases that change nothing in it."""
    with warehouse.connect(database=database, schema="PUBLIC") as connection:
        yield connection


@pytest.fixture(scope="module")
def bucket(loading_warehouse: Warehouse, s3_server: ObjectStore) -> Iterator[str]:
    """The bucket that the cases with files load from; their database exists as long."""
    with loading_warehouse.connect() as connection, made_bucket(s3_server.client(), "documented") as name:
        connection.cursor().execute("CREATE DATABASE DOCUMENTED")
        integration_for(connection, name)
        yield name
        connection.cursor().execute("DROP DATABASE DOCUMENTED")


@pytest.mark.parametrize("case", [_parameter(case) for case in cases() if "files" not in case])
def test_a_statement_gives_what_is_documented_or_is_refused(
    case: dict[str, Any], warehouse: Warehouse, database: str, shared: Any
) -> None:
    if "before" not in case:
        _check(case, shared.cursor(), "PUBLIC")
        return
    schema = f"S{next(_numbers)}"
    with warehouse.connect(database=database) as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE SCHEMA {schema}")
        for sql in case["before"]:
            cursor.execute(sql.replace("{unique}", schema))
        _check(case, cursor, schema)


@pytest.mark.parametrize("case", [_parameter(case) for case in cases() if "files" in case])
def test_a_statement_over_files_gives_what_is_documented_or_is_refused(
    case: dict[str, Any], loading_warehouse: Warehouse, bucket: str, s3_server: ObjectStore
) -> None:
    schema = f"F{next(_numbers)}"
    url = f"s3://{bucket}/{schema}/"
    s3 = s3_server.client()
    for name, text in case["files"].items():
        s3.put_object(Bucket=bucket, Key=f"{schema}/{name}", Body=text.encode())
    with loading_warehouse.connect(database="DOCUMENTED") as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE SCHEMA {schema}")
        cursor.execute(f"CREATE STAGE ST URL = '{url}' STORAGE_INTEGRATION = {integration_for(connection, bucket)}")
        case = _named(_named(case, url, "{url}"), schema)
        for sql in case["before"]:
            cursor.execute(sql)
        _check(case, cursor, schema)


def _check(case: dict[str, Any], cursor: Any, unique: str) -> None:
    case = _named(case, unique)
    sql = case["sql"]
    expected = REFUSED if "refused" in case else case.get("error")
    if expected:
        with pytest.raises(Error) as raised:
            cursor.execute(sql).fetchall()
        assert raised.value.errno == expected, raised.value.msg
        assert case.get("message", "") in str(raised.value.msg)
        return
    got = cursor.execute(sql).fetchall()
    names = [column.name for column in cursor.description]
    types = [_type(column) for column in cursor.description]
    if picked := case.get("columns"):
        got = [[row[names.index(name)] for name in picked] for row in got]
    rows = [[_plain(value) for value in row] for row in got]
    assert rows == case.get("rows", rows)
    if "names" in case:
        assert names == case["names"]
    if "types" in case:
        shown = [t if "(" in e else t.partition("(")[0] for t, e in zip(types, case["types"], strict=True)]
        assert shown == case["types"]


def _named(part: Any, name: str, place: str = "{unique}") -> Any:
    """Put a name into a case or a part of it, in place of {unique} (the name of its schema) or of {url}."""
    if isinstance(part, dict):
        return {key: _named(value, name, place) for key, value in part.items()}
    if isinstance(part, list):
        return [_named(value, name, place) for value in part]
    return part.replace(place, name) if isinstance(part, str) else part


def _plain(value: Any) -> Any:
    """Return a cell as YAML writes it: a NUMBER with a scale and a time as text, BINARY as hex."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex().upper()
    return f"{value:f}" if isinstance(value, Decimal) else value


def _type(column: Any) -> str:
    """Return the type that the connector reports for a result's column, as Snowflake writes it."""
    name = FIELD_ID_TO_NAME[column.type_code]
    if name == "FIXED":
        return f"NUMBER({column.precision},{column.scale})"
    if name == "TEXT":
        return f"VARCHAR({column.internal_size})"
    if name.startswith("TIME"):
        return f"{name}({column.scale})"
    return {"REAL": "FLOAT"}.get(name, str(name))


def test_each_case_says_what_is_documented_and_where() -> None:
    folders = ("sql-reference/", "user-guide/", "developer-guide/", "release-notes/")
    for case in cases():
        assert set(case) - KEYS == {"area"}, case
        assert case["page"].startswith(folders), case
        assert {"rows", "error", "types", "names"} & set(case), case
