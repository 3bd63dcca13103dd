"""What `cxm sql` prints, and what a user reads when a statement, a role or an object is wrong, on the running stack."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from flows.cli import sql as sql_command
from flows.settings import Settings

pytestmark = pytest.mark.xdist_group("flow")
WIDE = "SELECT " + ", ".join(f"'{n:02}' || REPEAT('x', 30) AS COLUMN_{n:02}" for n in range(18))


def cxm(*arguments: str, **more: Any) -> Result:
    result = CliRunner().invoke(main, arguments, **more)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_nothing_is_cut_in_a_pipe(settings: Settings) -> None:
    piped = cxm("sql", WIDE)
    assert piped.exit_code == 0
    for n in range(18):
        assert f"COLUMN_{n:02}" in piped.output
        assert f"{n:02}{'x' * 30}" in piped.output


def test_a_table_too_wide_for_the_terminal_has_one_value_per_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    monkeypatch.setattr(sql_command, "make_console", lambda _: Console(width=80, highlight=False))
    lines = cxm("sql", WIDE).output.splitlines()
    assert lines[0] == "row 1"
    assert f"  COLUMN_17  17{'x' * 30}" in lines
    assert "│ 1 │" in cxm("sql", "SELECT 1 AS A").output
    assert "  A  1" in cxm("sql", "--vertical", "SELECT 1 AS A").output


def test_statements_come_from_a_file_or_standard_input_and_go_out_as_csv_or_json(
    settings: Settings, tmp_path: Path
) -> None:
    text = "-- two values, one with what CSV has to quote\nSELECT 'a, \"b\"' AS NAME, NULL AS NOTHING, 1.5 AS N, TRUE AS T;\n"
    (tmp_path / "q.sql").write_text(text)
    expected = [["NAME", "NOTHING", "N", "T"], ['a, "b"', "", "1.5", "true"]]
    for result in (
        cxm("sql", "--csv", "-f", str(tmp_path / "q.sql")),
        cxm("sql", "--csv", input=text),
        cxm("sql", "--csv", "-f", "-", input=text),
    ):
        assert list(csv.reader(StringIO(result.output))) == expected
    twice = cxm("sql", "--json", "SELECT 1 AS A, 2 AS A")
    assert json.loads(twice.output) == [{"A": 1, "A_2": 2}]
    both = cxm("sql", "SELECT 1 AS ONE; SELECT 2 AS TWO")
    assert "ONE" in both.output
    assert "TWO" in both.output
    assert cxm("sql", "--json", "SELECT 1; SELECT 2").exit_code == 2


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT * FROM MARTS.NO_SUCH_MART", "build it: `cxm dbt build`"),
        ("DROP TABLE RAW.OLIST_ORDERS", "changes nothing in RAW: rows of a batch are taken out with `cxm undo`"),
        ("DELETE FROM RAW.OLIST_ORDERS", "changes nothing in RAW"),
        ("SELEC 1", "SELEC"),
    ],
)
def test_what_a_statement_gets_wrong_is_told(
    statement: str, said: str, settings: Settings, query: Callable[..., Any]
) -> None:
    result = cxm("sql", statement)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert query("SHOW TABLES LIKE 'OLIST_ORDERS' IN SCHEMA RAW")


@pytest.mark.parametrize("command", [["batches"], ["sql", "SELECT 1"]])
def test_before_the_first_run_the_message_says_to_run(
    command: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXM_ENV", "unmade")
    result = cxm(*command)
    assert result.exit_code == 2, result.output
    assert (
        "grant the role to the user: `cxm provision --apply`, or on the embedded stack the first `cxm run`"
        in result.output
    )
