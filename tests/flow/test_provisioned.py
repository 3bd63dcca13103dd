"""A run compares the embedded environment with what is expected only when something may have changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import admin_clients
from flows.cli.app import complete, looking
from flows.embedded import provisioned
from flows.embedded.provisioned import FILE
from flows.settings import Settings

Query = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def remembered(settings: Settings) -> Settings:
    """The stack after a run that found it complete."""
    (settings.home / FILE).unlink(missing_ok=True)
    complete(settings, looking(settings))
    if looking(settings).result() is not None:  # changes were made
        assert looking(settings).result() is None
    return settings


def compared(settings: Settings) -> list[str]:
    """Compare, and return the names of what would be changed."""
    plan = looking(settings).result()
    assert plan is not None, "nothing was compared"
    return [item.name for item in plan.todo]


def test_a_complete_environment_is_not_compared_again_whatever_is_loaded(
    remembered: Settings, run_pipeline: Callable[..., Any], small: Path, query: Query
) -> None:
    run_pipeline(small, force=True)
    before = len(query("SELECT QUERY_ID FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))"))
    assert looking(remembered).result() is None
    after = query("SELECT QUERY_TEXT FROM TABLE(INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000))")
    sent = [text for (text,) in after if "MAX(LAST_DDL)" in text]
    assert len(after) - before <= 3
    assert sent


def test_a_table_that_is_gone_is_missed_and_made_again(remembered: Settings, query: Query) -> None:
    query("CREATE TABLE RAW.ROWS_KEPT AS SELECT * FROM RAW.OLIST_SELLERS")
    query("DROP TABLE RAW.OLIST_SELLERS", "ACCOUNTADMIN")
    try:
        assert any("OLIST_SELLERS" in name for name in compared(remembered))
        complete(remembered, looking(remembered))
        assert query("SELECT COUNT(*) FROM RAW.OLIST_SELLERS") == [(0,)]
        assert looking(remembered).result() is None
    finally:
        query("INSERT INTO RAW.OLIST_SELLERS SELECT * FROM RAW.ROWS_KEPT", "ACCOUNTADMIN")
        query("DROP TABLE RAW.ROWS_KEPT")


@pytest.mark.parametrize("text", ["", "[]", '{"fingerprint": 1', '{"fingerprint": "other", "tables": []}'])
def test_a_memory_that_cannot_be_read_or_is_of_another_state_is_no_answer(remembered: Settings, text: str) -> None:
    (remembered.home / FILE).write_text(text)
    assert compared(remembered) == []
    assert looking(remembered).result() is None


def test_another_setting_or_another_public_key_is_compared(remembered: Settings) -> None:
    assert compared(remembered.model_copy(update={"docs_days": remembered.docs_days + 1})) == []
    (remembered.home / FILE).unlink()
    complete(remembered, looking(remembered))
    assert looking(remembered).result() is None
    key = remembered.home / "keys" / "CXM_PIPELINE_SVC.pub"
    existed = key.read_text() if key.exists() else None
    key.parent.mkdir(exist_ok=True)
    try:
        key.write_text("-----BEGIN PUBLIC KEY-----\nTUlJQklqQU5CZ2s=\n-----END PUBLIC KEY-----\n")
        assert compared(remembered) == ["CXM_PIPELINE_SVC"]
    finally:
        key.unlink()
        if existed is not None:
            key.write_text(existed)


def test_an_environment_without_its_bucket_is_compared(remembered: Settings) -> None:
    other = remembered.model_copy(update={"bucket": "not-made-yet"})
    with admin_clients.connection(admin_clients.administrator(other)) as connection:
        provisioned.remember(other, ["RAW"], connection)
    assert "not-made-yet" in compared(other)
