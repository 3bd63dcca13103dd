"""A month of olist's loads for the history page: daily at 06:00, with a bad day, a missing day and a day of twice the orders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flows.contract.model import Source
from flows.history import History, Load, State
from flows.history.cost import Costs, Queries, Sent

DAYS = 30
BAD, MISSING, DOUBLED = 11, 17, 24  # days from the first one
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST = datetime(2026, 10, 2, 6, tzinfo=UTC)


def month(source: Source) -> History:
    """Return the history of that month, as of noon on the day after it."""
    loads = []
    for number in range(DAYS):
        if number == MISSING:
            continue
        started = FIRST + timedelta(days=number)
        state: State = "quarantined" if number == BAD else "published"
        for place, table in enumerate(source.tables):
            rows = (1000 + 137 * place) * (2 if number == DOUBLED and table.name == "orders" else 1) + number % 5 * 7
            loads.append(
                Load(
                    source=source.name,
                    batch_id=f"{started:%Y%m%d_%H%M%S}",
                    table=table.raw_name,
                    state=state,
                    bytes=rows * 100,
                    rows=rows,
                    rows_set_aside=0,
                    reason="- orders: not_null ORDER_ID: 3 rows; - items: unique <b>ORDER_ID</b>: 2 rows"
                    if state == "quarantined"
                    else "",
                    run_url="http://127.0.0.1:4200/runs/flow-run/1",
                    file_day=None,
                    started=started + timedelta(seconds=place),
                    finished=started + timedelta(seconds=40 + number % 7),
                    sequence=number,
                )
            )
    return History(source, loads, NOW, DAYS)


def costs(source: Source, credits: bool = True) -> Costs:
    """Return what that month cost, twice as much on the doubled day; `credits`: whether the warehouse is billed."""
    queries = []
    for number in range(DAYS):
        started = FIRST + timedelta(days=number)
        batch = f"{started:%Y%m%d_%H%M%S}"
        parts = [("load", batch, table.raw_name, "") for table in source.tables]
        parts += [("validate", batch, "", ""), ("medtech-cxm dbt", "", "", "model.cxm_medtech.fct_case_shipments")]
        for place, (step, of, table, model) in enumerate(parts):
            seconds = (2.5 + place) * (2 if number == DOUBLED else 1)
            spent = seconds / 3600 if credits else None
            queries.append(Queries(started.date(), of, step, table, model, 3, seconds, spent))
    sent = [Sent(source.name, "20261002_060000", table.raw_name, 2, 12_000_000, 6) for table in source.tables]
    return Costs(queries, sent)
