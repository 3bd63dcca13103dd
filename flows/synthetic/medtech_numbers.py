"""The distributions of generated rows about shipments: rates, weekdays, shares, medians (see architecture/synthetic_sources.md).

They are assumptions that give the marts something to show, not real findings.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from flows.synthetic.columns import Ints, choice_table, curve_table

# Rows on a working day at scale 1, if every shipment were on time; and the percentage of them on each weekday.
ROWS = {"support_tickets": 120, "nps_responses": 150, "rep_visits": 40, "device_complaints": 8}
WEEK = {
    "support_tickets": (115, 105, 100, 95, 85, 35, 20),
    "nps_responses": (100, 100, 100, 100, 100, 60, 40),
    "rep_visits": (90, 110, 110, 105, 85, 5, 2),
    "device_complaints": (110, 105, 100, 100, 85, 30, 20),
}
MOST_ROWS = 999_999_999  # the number within the day has nine digits
REACH = 30  # days after delivery in which a shipment can get tickets, surveys, visits and complaints
LATE_TICKETS = 260  # tickets about a late shipment for 100 about one on time
FILE_CLOSES = 36 * 3600  # noon of the day after, in seconds from the day's beginning

CHANNELS = {"chat": 14, "email": 31, "field_rep": 9, "phone": 34, "portal": 12}
CATEGORIES = {  # in time, late
    "billing": (20, 8),
    "delivery": (17, 62),
    "device": (33, 14),
    "returns": (13, 9),
    "training": (17, 7),
}
SEVERITIES = {  # of cases about devices, of the others
    "critical": (9, 2),
    "high": (24, 13),
    "low": (27, 43),
    "medium": (40, 42),
}
FIRST_RESPONSE = {"critical": 20, "high": 60, "low": 420, "medium": 180}  # median minutes
WORK = {"critical": 240, "high": 480, "low": 1500, "medium": 900}  # median minutes from first response to closing
SCORES = {  # of 0 … 10, in 1,000 answers: in time, late
    "in time": (12, 8, 12, 16, 18, 40, 54, 100, 180, 250, 310),
    "late": (90, 60, 75, 80, 75, 100, 90, 110, 120, 100, 100),
}
ANSWERED = (36_000, 44_000)  # of 100,000 surveys, on time and late: dissatisfied customers answer more often
COMMENTED = (62_000, 30_000, 26_000)  # of 100,000 answers: detractors, passives, promoters
PURPOSES = {
    "case_support": (34, 22),
    "product_demo": (22, 8),
    "relationship": (20, 20),
    "service": (9, 41),
    "training": (15, 9),
}
OUTCOMES = {"canceled": 6, "completed": 71, "follow_up": 18, "no_show": 5}
REPORTABLE = 7_000  # of 100,000 complaints
TROUBLED = 5_000  # of 100,000 devices have trouble
# Number of draws, of which the first device with trouble is taken: about a third of the complaints concern such devices.
TRIES = 8
_HOURS = (4, 3, 3, 3, 4, 8, 20, 45, 75, 90, 95, 90, 70, 80, 90, 88, 80, 60, 40, 25, 16, 12, 9, 6)
# of the median, in 1/1000
_LUCK = (20, 60, 150, 250, 420, 600, 800, 1000, 1250, 1600, 2200, 3600, 5600, 11000, 20000, 40000)


@cache
def choices() -> dict[str, Ints]:
    """Make the tables for weighted choices, by name: 65,536 positions, each with its share."""
    return {
        "hour": choice_table(_HOURS),
        "luck": curve_table(*_LUCK),
        "channel": choice_table(tuple(CHANNELS.values())),
        "category": np.stack([choice_table([w[late] for w in CATEGORIES.values()]) for late in (0, 1)]),
        "severity": np.stack([choice_table([w[other] for w in SEVERITIES.values()]) for other in (0, 1)]),
        "score": np.stack([choice_table(weights) for weights in SCORES.values()]),
        "purpose": np.stack([choice_table([w[late] for w in PURPOSES.values()]) for late in (0, 1)]),
        "outcome": choice_table(tuple(OUTCOMES.values())),
    }
