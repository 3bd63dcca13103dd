"""Account health follows the days: without the quarantined one, with it once it is replaced. `dbt build` runs twice: soak."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.settings import PROJECT, Settings
from flows.synthetic.medtech import generate
from flows.synthetic.shipments import read_shipments

pytestmark = [pytest.mark.xdist_group("flow"), pytest.mark.soak]
MEASURES = (
    "TICKET_COUNT",
    "OPEN_TICKET_COUNT",
    "COMPLAINT_COUNT",
    "REPORTABLE_COMPLAINT_COUNT",
    "NPS_RESPONSE_COUNT",
    "VISIT_COUNT",
)


def rows(folder: Path, table: str, days: tuple[date, ...]) -> list[dict[str, str]]:
    result = []
    for day in days:
        with (folder / f"{table}_{day}.csv").open(encoding="utf-8", newline="") as file:
            result += list(csv.DictReader(file))
    return result


def counted(folder: Path, *days: date) -> dict[str, tuple[tuple[int, ...], float | None]]:
    """Return account → its measures and net promoter score, counted in the files of these days."""
    tickets, surveys = rows(folder, "support_tickets", days), rows(folder, "nps_responses", days)
    visits, complaints = rows(folder, "rep_visits", days), rows(folder, "device_complaints", days)
    counts = [
        Counter(r["account_id"] for r in part)
        for part in (
            tickets,
            [r for r in tickets if r["status"] != "closed"],
            complaints,
            [r for r in complaints if r["is_reportable"] == "true"],
            [r for r in surveys if r["score"]],
            visits,
        )
    ]
    result = {}
    for account in set().union(*counts):
        scores = [int(r["score"]) for r in surveys if r["account_id"] == account and r["score"]]
        nps = 100 * (sum(s > 8 for s in scores) - sum(s < 7 for s in scores)) / len(scores) if scores else None
        result[account] = (tuple(c[account] for c in counts), nps)
    return result


@pytest.fixture
def in_mart(
    settings: Settings, query: Callable[..., Any]
) -> Callable[[], dict[str, tuple[tuple[int, ...], float | None]]]:
    """Build the mart, and read it as `counted` gives the files; accounts that nothing touched are left out."""
    from flows import blocks
    from flows.steps import build, dbt

    def read() -> dict[str, tuple[tuple[int, ...], float | None]]:
        environment = dbt.dbt_environment(blocks.with_login(settings))
        built = build.build(PROJECT / "dbt" / "cxm_medtech", environment, settings.home / "dbt")
        assert (built.failed, built.skipped) == (0, 0), built.problems
        rows = query(f"SELECT ACCOUNT_ID, NET_PROMOTER_SCORE, {', '.join(MEASURES)} FROM MARTS.FCT_ACCOUNT_CX_HEALTH")
        return {
            account: (tuple(map(int, counts)), None if nps is None else float(nps))
            for account, nps, *counts in rows
            if any(counts)
        }

    return read


def test_account_health_is_right_without_the_bad_day_and_with_it_once_it_is_replaced(
    olist_published: Path, in_mart: Callable[[], Any], query: Callable[..., Any], tmp_path: Path
) -> None:
    from flows import operations

    # Days that other tests of this stack published point at other shipments.
    for (batch,) in query(
        "SELECT DISTINCT BATCH_ID FROM RAW.LOAD_LEDGER WHERE SOURCE = 'synthetic' AND STATUS = 'validated'"
    ):
        operations.undo(batch, "synthetic")
    first, bad = date(2018, 3, 13), date(2018, 3, 14)
    shipments = read_shipments(olist_published)
    generate(tmp_path, shipments, first, bad, scale=0.5)
    generate(tmp_path, shipments, bad, bad, scale=0.5, defects=0.05)
    error = operations.backfill("synthetic", first, bad, data=str(tmp_path), return_state=True).result(
        raise_on_failure=False
    )
    assert [d.status for d in error.days] == ["published", "quarantined"]
    assert close(in_mart(), counted(tmp_path, first))

    generate(tmp_path, shipments, bad, bad, scale=0.5)
    days = operations.backfill("synthetic", first, bad, data=str(tmp_path))
    assert [d.status for d in days] == ["unchanged", "published"]
    assert close(in_mart(), counted(tmp_path, first, bad))
    touchpoints = query("SELECT TOUCHPOINT_TYPE, COUNT(*) FROM MARTS.FCT_TOUCHPOINTS GROUP BY 1")
    assert dict(touchpoints) == {
        kind: len(rows(tmp_path, table, (first, bad)))
        for kind, table in (
            ("support_ticket", "support_tickets"),
            ("nps_response", "nps_responses"),
            ("rep_visit", "rep_visits"),
            ("device_complaint", "device_complaints"),
        )
    }


def close(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    expected = {account: w for account, w in expected.items() if any(w[0])}
    assert got.keys() == expected.keys()
    for account, (counts, nps) in expected.items():
        assert got[account][0] == counts, account
        assert got[account][1] == (None if nps is None else pytest.approx(nps, abs=0.001)), account
    return True
