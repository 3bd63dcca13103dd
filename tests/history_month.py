"""A month of olist's loads to look at: each day at 06:00, but for a bad day, a missing day and a day of twice the rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flows.contract.model import Source
from flows.history import History, Load, State

DAYS = 30
BAD, MISSING, DOUBLED = 11, 17, 24  # days from the first one
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST = datetime(2026, 10, 2, 6, tzinfo=UTC)


def month(source: Source) -> History:
    """That month, up to the noon after its last day."""
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
