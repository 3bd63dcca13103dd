"""The distributions of the real Olist data set, to draw from: statuses, months, payments, reviews, prices.

From the public descriptions of the "Brazilian E-Commerce Public Dataset by Olist".
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np

from flows.synthetic import vocabulary
from flows.synthetic.columns import Ints, choice_table, curve_table

ZIPS = 19_015  # different post code prefixes in the real geolocation file
EPOCH = date(2016, 9, 1)
DAY = 86_400

# Status, orders of it in the real set, then how many in 100,000 of them were approved, given to the carrier, delivered.
_ALL = 100_000
WITHOUT_ITEMS = (
    ("unavailable", 603, _ALL, 0, 0),
    ("canceled", 164, 55_000, 0, 0),
    ("created", 5, 0, 0, 0),
    ("invoiced", 2, _ALL, 0, 0),
    ("shipped", 1, _ALL, _ALL, 0),
)
_WITH_ITEMS = (
    ("shipped", 1_106, _ALL, _ALL, 0),
    ("canceled", 461, 85_000, 16_300, 1_300),
    ("unavailable", 6, _ALL, 0, 0),
    ("invoiced", 312, _ALL, 0, 0),
    ("processing", 301, _ALL, 0, 0),
    ("approved", 2, _ALL, 0, 0),
    ("delivered", 96_478, _ALL - 15, _ALL - 2, _ALL - 9),
)
SEGMENTS = WITHOUT_ITEMS + _WITH_ITEMS
NO_PAYMENT, NO_REVIEW = 1, 768  # orders without, at scale 1
NOT_DEFINED = 3  # payments of that type, all of canceled orders
# How many orders have 3 and more items, payments, reviews; orders with 2 make up the exact number of rows.
MANY_ITEMS = dict(enumerate((1322, 505, 204, 198, 22, 8, 3, 8, 4, 5, 1, 2, 2), start=3)) | {20: 2, 21: 1}
MANY_PAYMENTS = dict(enumerate((301, 108, 52, 36, 28, 11, 9, 5, 8, 8, 3, 2, 2), start=3)) | {19: 2, 22: 1, 29: 1}
MANY_REVIEWS = {3: 4}

_MONTHS = (  # orders per month from 2016-09 to 2018-10
    *(4, 324, 1, 1),
    *(800, 1780, 2682, 2404, 3700, 3245, 4026, 4331, 4285, 4631, 7544, 5673),
    *(7269, 6728, 7211, 6939, 6873, 6167, 6292, 6512, 16, 4),
)
_BLACK_FRIDAY = date(2017, 11, 24)
_HOURS = (24, 12, 5, 3, 2, 2, 5, 12, 30, 48, 62, 66, 60, 65, 66, 65, 67, 62, 58, 60, 62, 62, 58, 41)

PAYMENT_TYPES = ("credit_card", "boleto", "voucher", "debit_card", "not_defined")
_INSTALLMENTS = (  # credit card payments in 0, 1, 2 … 24 installments
    *(2, 25455, 12413, 10461, 7098, 5239, 3920, 1626, 4268, 644, 5328, 23, 133),
    *(16, 15, 74, 5, 8, 27, 0, 17, 3, 1, 1, 18),
)
_SCORES = ((71, 26, 78, 205, 620), (470, 80, 110, 120, 220), (710, 70, 80, 50, 90))  # in time, late, not delivered
HAS_MESSAGE = (76_300, 67_900, 43_500, 31_300, 35_900)  # in 100,000, by score
HAS_TITLE = (15_000, 15_000, 9_500, 9_000, 11_500)

_QUANTILES = {  # at SHARES; money in cents, the rest in the files' own units unless a comment says otherwise
    "price": (85, 900, 1690, 2299, 3490, 4900, 5990, 7490, 9900, 12490, 15990, 21990, 31990, 81000, 200000, 673500),
    "freight": (300, 600, 778, 925, 1252, 1410, 1510, 1626, 1780, 1985, 2330, 3400, 4510, 8440, 17000, 34000),
    # minutes from purchase to approval, approval to carrier, review sent to answered
    "approval": (0, 0, 9, 10, 12, 14, 16, 21, 45, 540, 1440, 2160, 3060, 6000, 14400, 43200),
    "handling": (60, 200, 420, 690, 1140, 1440, 1860, 2640, 3540, 4500, 5880, 8520, 11880, 26400, 54000, 84000),
    "answer": (180, 240, 600, 730, 1080, 1390, 1680, 2400, 3400, 4080, 5040, 7080, 10800, 35400, 260000, 480000),
    # of the state's mean days from carrier to customer, and from purchase to promised delivery, in 1/1000
    "transit": (60, 110, 190, 270, 420, 550, 660, 770, 890, 1030, 1220, 1520, 1880, 3300, 7000, 14000),
    "promise": (150, 350, 560, 670, 780, 850, 920, 1000, 1060, 1140, 1230, 1420, 1600, 2150, 3400, 4500),
    "weight": (50, 60, 115, 150, 250, 350, 500, 700, 1000, 1500, 2590, 6250, 10950, 20870, 30000, 40425),
    "length": (7, 16, 16, 16, 17, 20, 21, 25, 30, 35, 41, 53, 65, 100, 105, 105),
    "height": (2, 2, 3, 4, 7, 10, 11, 13, 16, 20, 25, 35, 45, 68, 103, 105),
    "width": (6, 11, 11, 11, 14, 15, 17, 20, 22, 27, 31, 40, 47, 65, 94, 118),
    "name": (5, 20, 29, 33, 39, 44, 47, 51, 53, 56, 58, 59, 60, 63, 64, 76),
    "description": (4, 81, 150, 209, 312, 406, 506, 600, 734, 905, 1160, 1670, 2190, 3530, 3920, 3992),
    "photos": (1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 3, 5, 6, 8, 11, 20),
}


@cache
def curves() -> dict[str, Ints]:
    """Make the tables of quantile curves, by name: 65,536 values in order."""
    return {name: curve_table(*values) for name, values in _QUANTILES.items()}


@cache
def choices() -> dict[str, Ints]:
    """Make the tables for weighted choices, by name: 65,536 positions, each with its share."""
    states, cities = vocabulary.STATES, vocabulary.CITIES
    in_state = {s.code: sum(c.weight for c in cities if c.state == s.code) for s in states}
    state = {s.code: s for s in states}
    days = [EPOCH + timedelta(days=d) for d in range((date(2018, 11, 1) - EPOCH).days)]
    months = [(d.year - EPOCH.year) * 12 + d.month - EPOCH.month for d in days]
    daily = [_MONTHS[m] * 1000 // months.count(m) for m in months]
    daily[days.index(_BLACK_FRIDAY)] *= 6
    return {
        "customer_city": choice_table(
            [state[c.state].customers * 1000 * c.weight // in_state[c.state] for c in cities]
        ),
        "seller_state": choice_table([s.sellers * 20 + 1 for s in states]),
        "day": choice_table(daily),
        "hour": choice_table(_HOURS),
        "category": choice_table([30_000 // (k + 9) - 330 for k in range(len(vocabulary.CATEGORIES))] + [6, 12]),
        "installments": choice_table(_INSTALLMENTS),
        "one_payment": choice_table((770, 205, 9, 16)),
        "score": 1 + np.stack([choice_table(weights) for weights in _SCORES]),
    }
