"""Every statement that a run sends is legal Snowflake SQL: ours, dbt's and Great Expectations', as the warehouse saw them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlfluff.core import FluffConfig, Linter
from sqlglot import exp

# sqlglot has no grammar for these and keeps their text as a Command; sqlfluff has one and parses them below.
NO_GRAMMAR_IN_SQLGLOT = re.compile(
    r"GRANT|SHOW|ALTER SESSION|ALTER WAREHOUSE|CREATE (ROLE|USER|RESOURCE MONITOR)|ALTER TABLE \S+ MODIFY COLUMN \S+ SET TAG"
)
# Sent by Snowflake's own SQLAlchemy dialect; sqlfluff has no grammar for what
# https://docs.snowflake.com/en/sql-reference/sql/show-primary-keys documents.
NO_GRAMMAR_IN_SQLFLUFF = re.compile(r"SHOW /\* sqlalchemy:\w+ \*/ (PRIMARY|UNIQUE|IMPORTED) KEYS IN ")


def test_every_statement_of_a_run_parses_as_snowflake_sql(
    small: Path, run_pipeline: Callable[..., Any], query: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import run_flow

    (before,) = query("SELECT CURRENT_TIMESTAMP()")
    with monkeypatch.context() as other:
        other.setenv("CXM_ENV", "sqltest")  # an environment in which nothing exists yet: every CREATE is sent
        run_flow("provision")
    summary = run_pipeline(small)
    sent = query(
        "SELECT QUERY_TEXT, QUERY_TAG, SESSION_ID FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY("
        f"END_TIME_RANGE_START => '{before[0].isoformat()}'::TIMESTAMP_LTZ, RESULT_LIMIT => 10000)) ORDER BY START_TIME DESC"
    )
    assert len(sent) < 10_000, "the history ends before the run begins"
    statements = {normal(text): text for text, *_ in sent if text.strip()}
    tags = {tag for _, tag, _ in sent if tag}
    copies = [(text, tag, session) for text, tag, session in sent if re.search(r"^COPY INTO", text, re.MULTILINE)]
    assert len(copies) == sum(t.load == "loaded" for t in summary.tables) >= 8, "one file is the same in every set"
    for text, tag, _ in copies:
        table = re.search(r"RAW\.OLIST_(\w+)|RAW\.(\w+)", text)
        assert table, text
        assert f'"table":"{(table[1] or table[2]).lower()}"' in tag, (text, tag)

    def sessions(step: str) -> set[int]:
        return {session for _, tag, session in sent if summary.batch_id in tag and f'"step":"{step}"' in tag}

    assert sessions("validated") | sessions("close") <= sessions("load"), "a connection serves one task after the other"
    assert sessions("open") <= sessions("load")
    assert any(summary.batch_id in tag and '"step":"load"' in tag for tag in tags), "COPY carries the JSON query tag"
    assert any(re.search(r"^COPY INTO", text, re.MULTILINE) for text in statements.values())
    assert any("CREATE STORAGE INTEGRATION" in text for text in statements.values())
    assert len(statements) > 60

    wide = [text for text in statements.values() if reads_whole_table(text)]
    assert not wide, "what a run reads of RAW grows with its batches, not with history:\n" + "\n\n".join(wide)

    refused = [f"sqlglot: {reason}\n{text}" for text in statements.values() if (reason := sqlglot_refuses(text))]
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    for text in statements.values():
        if NO_GRAMMAR_IN_SQLFLUFF.match(text):
            continue
        violations = [v for v in linter.parse_string(text).violations if v.rule_code() == "PRS"]
        refused += [f"sqlfluff: {v.desc()}\n{text}" for v in violations[:1]]
    assert not refused, "\n\n".join(refused)


def reads_whole_table(text: str) -> bool:
    """Return whether a query reads a contract's RAW table without a batch in its WHERE; COPY and DDL read no rows."""
    try:
        parsed = sqlglot.parse_one(text, read="snowflake")
    except sqlglot.errors.ParseError:
        return False
    for table in parsed.find_all(exp.Table):
        select = table.find_ancestor(exp.Select)
        if select is None or not re.match(r"(OLIST|SYNTHETIC)_", table.name.upper()) or table.db.upper() != "RAW":
            continue
        where = select.args.get("where")
        if where is None or not any(c.name.upper() == "_BATCH_ID" for c in where.find_all(exp.Column)):
            return True
    return False


def normal(text: str) -> str:
    """Reduce a statement to its shape, since one of each is enough: fold literals, ids, names in RAW, white space."""
    folded = re.sub(r"'[^']*'|\b[0-9a-f_]{12,}\b|\d+", "?", text)
    folded = re.sub(r"(\bRAW\.|\bCOLUMN )\w+", r"\1?", folded)
    return " ".join(folded.split())


def sqlglot_refuses(text: str) -> str:
    try:
        parsed = sqlglot.parse(text, read="snowflake")
    except sqlglot.errors.ParseError as error:
        return str(error)
    body = re.sub(r"^(\s*--[^\n]*\n|\s*/\*.*?\*/)*\s*", "", text, flags=re.DOTALL).upper()
    if any(isinstance(p, exp.Command) for p in parsed) and not NO_GRAMMAR_IN_SQLGLOT.match(body):
        return "no grammar for it"
    return ""
