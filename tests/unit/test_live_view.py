"""What a user sees while a batch runs: a moving line for each table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

from rich.console import Console

from flows import progress
from flows.cli.live import live_tables


def printed(terminal: bool) -> str:
    """Return what the view writes while one table goes through the steps."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=200, highlight=False, color_system=None)
    with live_tables(console):
        for event in (
            progress.Event("check", "orders", 500_000, 2_000_000),
            progress.Event("check", "orders", 2_000_000, 2_000_000),
            progress.Event("upload", "orders", 1_000_000, 2_000_000),
            progress.Event("land", "orders", 2_000_000, 2_000_000, "landed"),
            progress.Event("load", "orders", 0, 12_345),
            progress.Event("load", "orders", 12_345, 12_345, "loaded"),
            progress.Event("freshness", "orders", outcome="pass"),
        ):
            progress.publish(event)
    return out.getvalue()


def test_a_terminal_shows_bytes_rows_rate_and_time_left_of_each_table() -> None:
    (line,) = {part.strip() for part in re.split(r"\r|\n", printed(terminal=True)) if "freshness pass" in part}
    assert "orders" in line
    assert "2.0/2.0 MB" in line
    assert "12,345 rows" in line
    assert "eta" in line
    assert "B/s" in line or "?" in line


def test_without_a_terminal_each_finished_step_is_one_plain_line() -> None:
    text = printed(terminal=False)
    assert "\x1b" not in text
    lines = [line.split() for line in text.splitlines()]
    assert lines == [
        ["land", "orders", "landed", "2,000,000", "bytes"],
        ["load", "orders", "loaded", "12,345", "rows"],
        ["freshness", "orders", "pass"],
    ]
