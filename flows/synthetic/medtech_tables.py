"""Makes the rows of a day's four files: Day(seed, day, shipments) → columns of bytes.

All four take their shipment lines, accounts, times and texts from the same Day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np

from flows.errors import ConfigurationError
from flows.synthetic import phrases
from flows.synthetic.columns import (
    Column,
    Draws,
    Flags,
    Ints,
    Texts,
    Words,
    as_hex,
    as_number,
    as_quoted,
    as_texts,
    digit_tables,
    draw_key,
)
from flows.synthetic.medtech_numbers import (
    ANSWERED,
    CATEGORIES,
    CHANNELS,
    COMMENTED,
    FILE_CLOSES,
    FIRST_RESPONSE,
    LATE_TICKETS,
    MOST_ROWS,
    OUTCOMES,
    PURPOSES,
    REACH,
    REPORTABLE,
    ROWS,
    SEVERITIES,
    TRIES,
    TROUBLED,
    WEEK,
    WORK,
    choices,
)
from flows.synthetic.shipments import Shipments


class Day(Draws):
    """The content of a day, determined by (seed, day) and computed by row number."""

    def __init__(self, seed: int, day: date, shipments: Shipments, scale: float, defects: float) -> None:
        super().__init__(draw_key(seed, day.isoformat()))
        self.day, self.shipments, self.scale = day, shipments, scale
        self.of_seed = Draws(seed)  # for what stays the same from day to day
        self.share = round(defects * 100_000)
        self.in_time, self.late = shipments.delivered(day - timedelta(days=REACH), day)
        self.days = as_texts([day.isoformat(), (day + timedelta(days=1)).isoformat(), ""])

    def rows(self, table: str) -> int:
        """Return the number of records in a table's file: within 10 % of the table's rate on that weekday, at least 1."""
        rate = ROWS[table] * self.scale * WEEK[table][self.day.weekday()] / 100
        if table == "support_tickets":
            rate *= (100 * len(self.in_time) + LATE_TICKETS * len(self.late)) / (
                100 * (len(self.in_time) + len(self.late))
            )
        noise = 900 + int(self.below(f"{table}.rows", np.zeros(1, dtype=np.int64), 201)[0])
        rows = max(1, int(rate * noise / 1000))
        if rows > MOST_ROWS:
            raise ConfigurationError(
                f"scale {self.scale:g}: {rows:,} rows in a file, expected at most {MOST_ROWS:,}; lower the scale"
            )
        return rows

    def broken(self, table: str, index: Ints) -> tuple[Ints, Flags, Flags]:
        """Return the defects of each row: the row whose content it has (itself, or for a duplicate the row before), whether a
        value has the wrong type, and whether its account is an orphan."""
        if not self.share:
            none = np.zeros(len(index), dtype=np.bool_)
            return index, none, none
        kind = np.where(self.chance(f"{table}.defect", index, self.share), self.below(f"{table}.kind", index, 3), -1)
        kind = np.where(index < len(_FIRST_DEFECTS), _FIRST_DEFECTS[np.minimum(index, len(_FIRST_DEFECTS) - 1)], kind)
        return index - ((kind == 2) & (index > 0)), kind == 0, kind == 1

    def lines(self, label: str, row: Ints, late_weight: int = 100) -> tuple[Ints, Flags]:
        """Draw a shipment line for each row, and return which are late. If both kinds were equally frequent, there would be
        `late_weight` late ones for 100 on time."""
        on, late = len(self.in_time), len(self.late)
        is_late = self.chance(f"{label}.late", row, 100_000 * late_weight * late // (late_weight * late + 100 * on))
        start = np.where(is_late, self.late.start, self.in_time.start)
        return start + self.below(f"{label}.line", row, np.where(is_late, late, on)), is_late

    def ids(self, name: str, line: Ints, missing: Flags | None = None, orphan: Flags | None = None) -> Texts:
        high, low = (bits[line] for bits in self.shipments.ids[name])
        if orphan is not None and orphan.any():
            high = np.where(orphan, self.draw("orphan", line), high)
        text = as_hex(high, low)
        return text if missing is None else np.where(missing, b"", text)

    def keys(self, prefix: str, row: Ints) -> Column:
        """Make ids like `TKT-20180301-000000001`, counted from 1."""
        digits, number = digit_tables()["digits"], row + 1
        head = np.full(len(row), f"{prefix}-{self.day:%Y%m%d}-".encode())
        return head, _DIGIT[number // 10**8], digits[number // 10**4 % 10**4], digits[number % 10**4]

    def opened(self, label: str, row: Ints) -> Ints:
        """Draw times as seconds from the beginning of the day."""
        return choices()["hour"][self.u16(f"{label}.hour", row)] * 3600 + self.below(f"{label}.second", row, 3600)

    def wait(self, label: str, row: Ints, median: Ints) -> Ints:
        """Draw durations in seconds: mostly near `median` minutes, a few many times longer."""
        return choices()["luck"][self.u16(label, row)] * median * 60 // 1000 + self.below(f"{label}.second", row, 60)

    def time(self, seconds: Ints) -> Column:
        """Format timestamps like `2018-03-01 23:59:59`; empty if later than the file."""
        day = np.where(seconds < FILE_CLOSES, seconds // 86_400, -1)
        return self.days[day], digit_tables()["clock"][np.where(day < 0, -1, seconds % 86_400)]

    def text(self, label: str, row: Ints, mood: Ints, parts: dict[str, Flags]) -> Column:
        picked = [_words()[part].pick(self.u16(f"{label}.{part}", row), mood, where) for part, where in parts.items()]
        return as_quoted([texts for texts, _ in picked], np.logical_or.reduce([delicate for _, delicate in picked]))


_FIRST_DEFECTS = np.array([0, 1, -1, 2], dtype=np.int64)  # wrong type, orphan, none, a repeat of the row before
_DIGIT = as_texts([str(n) for n in range(10)])


@cache
def _words() -> dict[str, Words]:
    return {
        "opening": Words(phrases.COMMENT_OPENINGS),
        "joint": Words([phrases.JOINTS]),
        "closing": Words(phrases.COMMENT_CLOSINGS),
        "tail": Words([phrases.TAILS]),
        "event": Words(phrases.NARRATIVE_OPENINGS),
        "consequence": Words(phrases.NARRATIVE_MIDDLES),
        "joint2": Words([phrases.JOINTS]),
        "request": Words(phrases.NARRATIVE_CLOSINGS),
    }


def _spoiled(column: Column, where: Flags, text: bytes) -> Column:
    """Replace the column's value by `text` where `where` is true."""
    head, *rest = column if isinstance(column, tuple) else (column,)
    return (np.where(where, text, head), *(np.where(where, b"", piece) for piece in rest))


def _tickets(world: Day, index: Ints) -> Sequence[Column]:
    row, wrong, orphan = world.broken("support_tickets", index)
    line, late = world.lines("ticket", row, LATE_TICKETS)
    category = choices()["category"][late.astype(np.int64), world.u16("ticket.category", row)]
    about_device = category == list(CATEGORIES).index("device")
    severity = choices()["severity"][(~about_device).astype(np.int64), world.u16("ticket.severity", row)]
    opened = world.opened("ticket", row)
    first = opened + world.wait("ticket.first", row, np.array(list(FIRST_RESPONSE.values()), dtype=np.int64)[severity])
    closed = first + world.wait("ticket.work", row, np.array(list(WORK.values()), dtype=np.int64)[severity])
    status = np.where(first >= FILE_CLOSES, 2, np.where(closed >= FILE_CLOSES, 1, 0))
    return [
        world.keys("TKT", row),
        world.ids("account", line, orphan=orphan),
        world.ids("hcp", line, missing=world.chance("ticket.no_hcp", row, 15_000)),
        world.ids("device", line, missing=~about_device & world.chance("ticket.no_device", row, 60_000)),
        as_texts(list(CHANNELS))[choices()["channel"][world.u16("ticket.channel", row)]],
        as_texts(list(CATEGORIES))[category],
        as_texts(list(SEVERITIES))[severity],
        _spoiled(world.time(opened), wrong, b"31/02/2018 25:61"),
        world.time(first),
        world.time(closed),
        as_texts(["closed", "in_progress", "open"])[status],
    ]


def _surveys(world: Day, index: Ints) -> Sequence[Column]:
    row, wrong, orphan = world.broken("nps_responses", index)
    line, late = world.lines("survey", row)
    is_late = late.astype(np.int64)
    sent = world.opened("survey", row)
    answered = sent + world.wait("survey.wait", row, np.full(len(row), 300, dtype=np.int64))
    has = world.chance("survey.answered", row, np.array(ANSWERED, dtype=np.int64)[is_late]) & (answered < FILE_CLOSES)
    score = choices()["score"][is_late, world.u16("survey.score", row)]
    mood = (score > 6).astype(np.int64) + (score > 8)
    said = has & world.chance("survey.said", row, np.array(COMMENTED, dtype=np.int64)[mood])
    long = said & world.chance("survey.long", row, 60_000)
    parts = {"opening": said, "joint": long, "closing": long, "tail": said}
    return [
        world.keys("NPS", row),
        world.ids("account", line, orphan=orphan),
        world.ids("hcp", line),
        _spoiled(as_number(score, missing=~has), wrong, b"eleven"),
        world.text("survey", row, mood, parts),
        world.time(sent),
        world.time(np.where(has, answered, FILE_CLOSES)),
    ]


def _visits(world: Day, index: Ints) -> Sequence[Column]:
    row, wrong, orphan = world.broken("rep_visits", index)
    line, late = world.lines("visit", row)
    # An account always has the same representative: 80 of them, about forty of Olist's three thousand accounts each.
    account = world.shipments.ids["account"][0][line].astype(np.int64)
    rep = 1 + world.of_seed.below("rep", account, 80)
    return [
        world.keys("VIS", row),
        (np.full(len(row), b"REP-"), digit_tables()["digits"][rep]),
        world.ids("account", line, orphan=orphan),
        as_texts(list(PURPOSES))[choices()["purpose"][late.astype(np.int64), world.u16("visit.purpose", row)]],
        as_texts(list(OUTCOMES))[choices()["outcome"][world.u16("visit.outcome", row)]],
        np.where(wrong, b"the day before", world.days[:1]),
    ]


def _complaints(world: Day, index: Ints) -> Sequence[Column]:
    row, wrong, orphan = world.broken("device_complaints", index)
    line = _of_troubled_devices(world, row)
    reportable = world.chance("complaint.reportable", row, REPORTABLE)
    every = np.ones(len(row), dtype=np.bool_)
    long = world.chance("complaint.long", row, 45_000)
    parts = {"event": every, "joint": every, "consequence": every, "joint2": long, "request": long}
    return [
        world.keys("CMP", row),
        world.ids("account", line, orphan=orphan),
        world.ids("hcp", line, missing=world.chance("complaint.no_hcp", row, 20_000)),
        world.ids("device", line),
        world.ids("shipment", line, missing=world.chance("complaint.no_shipment", row, 10_000)),
        np.where(wrong, b"maybe", np.where(reportable, b"true", b"false")),
        world.text("complaint", row, reportable.astype(np.int64), parts),
        world.time(world.opened("complaint", row)),
    ]


def _of_troubled_devices(world: Day, row: Ints) -> Ints:
    """Draw a line for each row: several are drawn, and the first whose device has trouble is taken, else the last."""
    line, _ = world.lines("complaint", row)
    for again in range(1, TRIES):
        device = world.shipments.ids["device"][0][line].astype(np.int64)
        fine = ~world.of_seed.chance("device.troubled", device, TROUBLED)
        other, _ = world.lines(f"complaint.{again}", row)
        line = np.where(fine, other, line)
    return line


MAKERS: dict[str, Callable[[Day, Ints], Sequence[Column]]] = {
    "support_tickets": _tickets,
    "nps_responses": _surveys,
    "rep_visits": _visits,
    "device_complaints": _complaints,
}
