"""Makes the nine files, each chunk by chunk: World → columns of bytes.

A foreign key is recomputed by the draws that made its parent, so each file can be made on its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import cache

import numpy as np

from flows.synthetic import vocabulary
from flows.synthetic.columns import Column, Flags, Ints, Texts, Words, as_number, as_quoted, as_texts, digit_tables
from flows.synthetic.olist_numbers import (
    DAY,
    EPOCH,
    HAS_MESSAGE,
    HAS_TITLE,
    NOT_DEFINED,
    PAYMENT_TYPES,
    SEGMENTS,
    choices,
    curves,
)
from flows.synthetic.olist_world import World, children, chunks


def _plain(word: str) -> str:
    return word.translate(str.maketrans("áâãàéêíóôõúüç", "aaaaeeiooouuc"))


@cache
def _days() -> Texts:
    days = [(EPOCH + timedelta(days=d)).isoformat() for d in range(1500)]
    return as_texts([*days, ""])  # the last entry is for a missing time


def _money(cents: Ints) -> Column:
    return as_number(cents // 100), digit_tables()["cents"][cents % 100]


def _time(seconds: Ints) -> Column:
    """Format seconds from the epoch as `2018-01-31 23:59:59`; empty if negative."""
    day, clock = np.divmod(seconds, DAY)
    return _days()[np.where(seconds < 0, -1, day)], digit_tables()["clock"][np.where(seconds < 0, -1, clock)]


def _degrees(value: Ints) -> Column:
    """Format degrees, times 10^14, as a double's shortest decimal form mostly is: 14 places, the last not 0."""
    digits = digit_tables()["digits"]
    whole, part = np.divmod(np.abs(value), 10**14)
    part += part % 10 == 0
    return (
        np.where(value < 0, b"-", b""),
        as_number(whole),
        np.full(len(value), b"."),
        digits[part // 10**10],
        digits[part // 10**6 % 10**4],
        digits[part // 10**2 % 10**4],
        digit_tables()["pairs"][part % 100],
    )


_Made = Iterator[Sequence[Column]]


def _make_orders(world: World) -> _Made:
    statuses = as_texts([s[0] for s in SEGMENTS])
    for index in chunks(world.rows["orders"]):
        orders = world.orders(index)
        times = (orders.purchase, orders.approved, orders.carrier, orders.delivered, orders.estimated)
        ids = (world.ids("orders", index), world.ids("customers", orders.customer))
        yield [*ids, statuses[orders.segment], *map(_time, times)]


def _make_customers(world: World) -> _Made:
    cities = as_texts([_plain(c.name) for c in vocabulary.CITIES])
    states = as_texts([c.state for c in vocabulary.CITIES])
    for index in chunks(world.rows["customers"]):
        place = world.customer_zip(index)
        city = world.zips[1][place]
        ids = (world.ids("customers", index), world.ids("persons", world.person(index)))
        yield [*ids, world.prefixes[place], cities[city], states[city]]


def _make_items(world: World) -> _Made:
    before = 0
    for index in chunks(world.rows["orders"]):
        orders = world.orders(index)
        items = world.items(orders, before)
        before += len(items.at)
        order = index[items.at]
        start = np.where(orders.approved < 0, orders.purchase, orders.approved)[items.at]
        limit = start + (2 + world.below("item.limit", order, 3) + world.below("item.limit.more", order, 5)) * DAY
        yield [
            world.ids("orders", order),
            as_number(items.number + 1),
            world.ids("products", items.product),
            world.ids("sellers", items.seller),
            _time(limit),
            _money(items.price),
            _money(items.freight),
        ]


def _make_payments(world: World) -> _Made:
    types = as_texts(PAYMENT_TYPES)
    canceled, end = world.segment_ends[0], world.segment_ends[1]
    undefined_end = min(canceled + math.ceil(NOT_DEFINED * world.scale), end)
    items_before = payments_before = 0
    for index in chunks(world.rows["orders"]):
        orders = world.orders(index)
        items = world.items(orders, items_before)
        items_before += len(items.at)
        due = _sums(items.at, items.price + items.freight, len(index))
        due = np.where(due == 0, world.curve("price", index) + 1_500, due)  # what was ordered is not in the items file
        due += (
            due
            * np.where(world.chance("payment.interest", index, 300), world.below("payment.rate", index, 12), 0)
            // 100
        )

        counts = world.payment_spread.counts(world.shuffled("payments", index, world.rows["orders"]))
        at, number = children(counts)
        payment = payments_before + np.arange(len(at), dtype=np.int64)
        payments_before += len(at)
        alone, first = counts[at] == 1, number == 0
        undefined = first & (orders.rank[at] >= canceled) & (orders.rank[at] < undefined_end)
        one = choices()["one_payment"][world.u16("payment.type", payment)]
        some = np.where(first & world.chance("payment.first", payment, 85_000), 0, 2)
        kind = np.where(undefined, 4, np.where(alone, one, some))
        part = 1 + world.below("payment.part", payment, 100)
        value = due[at] * part // _sums(at, part, len(index))[at]
        value += np.where(first, (due - _sums(at, value, len(index)))[at], 0)
        value[undefined] = 0
        months = np.where(kind == 0, choices()["installments"][world.u16("payment.installments", payment)], 1)
        yield [world.ids("orders", index[at]), as_number(number + 1), types[kind], as_number(months), _money(value)]


def _sums(at: Ints, values: Ints, size: int) -> Ints:
    """Sum `values` at each position; exact, because cents stay far below the 2^53 that a double counts to."""
    return np.bincount(at, weights=values, minlength=size).astype(np.int64)


@cache
def _words() -> dict[str, Words]:
    return {
        "title": Words(vocabulary.REVIEW_TITLES),
        "indent": Words([[" "]]),
        "opening": Words(vocabulary.REVIEW_OPENINGS),
        "joint": Words([vocabulary.REVIEW_JOINTS]),
        "middle": Words(vocabulary.REVIEW_MIDDLES),
        "joint2": Words([vocabulary.REVIEW_JOINTS]),
        "closing": Words(vocabulary.REVIEW_CLOSINGS),
        "tail": Words([vocabulary.REVIEW_TAILS]),
    }


def _text(world: World, review: Ints, mood: Ints, where: dict[str, Flags]) -> Column:
    """Join a text column from the kinds of words in `where`, each where its flag is set; quoted where necessary."""
    picked = [_words()[kind].pick(world.u16(f"review.{kind}", review), mood, flag) for kind, flag in where.items()]
    return as_quoted([texts for texts, _ in picked], np.logical_or.reduce([delicate for _, delicate in picked]))


def _make_reviews(world: World) -> _Made:
    has_title, has_message = np.array(HAS_TITLE, dtype=np.int64), np.array(HAS_MESSAGE, dtype=np.int64)
    before = 0
    for index in chunks(world.rows["orders"]):
        orders = world.orders(index)
        at, number = children(world.review_spread.counts(world.shuffled("reviews", index, world.rows["orders"])))
        row = before + np.arange(len(at), dtype=np.int64)
        before += len(at)
        # One review sometimes answers two orders: the review of the row before is repeated with this row's order.
        again = (number == 0) & (row > row[:1]) & world.chance("review.again", row, 830)
        review, about = row - again, at[np.arange(len(at)) - again]

        delivered, estimated = orders.delivered[about], orders.estimated[about]
        late = np.where(delivered < 0, 2, np.where(delivered > estimated, 1, 0))
        score = choices()["score"][late, world.u16("review.score", review)]
        mood = np.array([0, 0, 1, 2, 2], dtype=np.int64)[score - 1]
        titled = world.chance("review.titled", review, has_title[score - 1])
        said = world.chance("review.said", review, has_message[score - 1])
        form = world.below("review.form", review, 10)  # an opening; with a closing; with both a middle and a closing
        closed, long = said & (form > 2), said & (form > 5)
        indented = said & world.chance("review.indented", review, 2_000)
        message = {
            "indent": indented,
            "opening": said,
            "joint": long,
            "middle": long,
            "joint2": closed,
            "closing": closed,
        }
        created = np.where(late == 0, delivered // DAY * DAY, estimated) + DAY
        answered = created + world.curve("answer", review) * 60 + world.below("review.answered", review, 3600)
        yield [
            world.ids("reviews", review),
            world.ids("orders", index[at]),
            as_number(score),
            _text(world, review, mood, {"title": titled}),
            _text(world, review, mood, message | {"tail": said}),
            _time(created),
            _time(answered),
        ]


def _make_products(world: World) -> _Made:
    names = as_texts([*(name for name, _ in vocabulary.CATEGORIES), *vocabulary.UNTRANSLATED_CATEGORIES, ""])
    for index in chunks(world.rows["products"]):
        unnamed = world.chance("product.unnamed", index, 1_850)
        unweighed = world.chance("product.unweighed", index, 6)
        category = choices()["category"][world.u16("product.category", index)]
        yield [
            world.ids("products", index),
            names[np.where(unnamed, -1, category)],
            *(as_number(world.curve(c, index), unnamed) for c in ("name", "description", "photos")),
            as_number(curves()["weight"][world.weight_luck(index)], unweighed),
            *(as_number(world.curve(c, index), unweighed) for c in ("length", "height", "width")),
        ]


def _make_sellers(world: World) -> _Made:
    full = {s.code: s.name for s in vocabulary.STATES}
    cities = [(_plain(c.name), c.state, full[c.state]) for c in vocabulary.CITIES]
    # As people type them: four spellings for each city. Only the one with a comma needs quotes.
    spellings = as_texts(
        [
            spelling
            for city, code, state in cities
            for spelling in (city, f"{city} - {code.lower()}", f"{city} / {state}", f'"{city}, {state}, brasil"')
        ]
    )
    states = as_texts([code for _, code, _ in cities])
    for index in chunks(world.rows["sellers"]):
        place = world.seller_zip(index)
        city = world.zips[1][place]
        odd = np.where(world.chance("seller.odd", index, 550), 1 + world.below("seller.spelling", index, 3), 0)
        odd[index == 0] = 3  # so that a quoted one occurs at any scale
        yield [world.ids("sellers", index), world.prefixes[place], spellings[4 * city + odd], states[city]]


def _make_geolocation(world: World) -> _Made:
    cities = vocabulary.CITIES
    names = as_texts([spelling for c in cities for spelling in (_plain(c.name), c.name)])
    states = as_texts([c.state for c in cities])
    centre = np.array([[round(c.latitude * 100), round(c.longitude * 100)] for c in cities], dtype=np.int64) * 10**12
    strays = np.array([[41, -8], [-36, -64]], dtype=np.int64) * 10**14  # Portugal, Argentina: wrongly located addresses
    customers, sellers = world.rows["customers"], world.rows["sellers"]
    spots = round(100 * max(1.0, world.scale))  # per prefix; so few that a quarter of the rows repeat another

    def offset(label: str, index: Ints, span: int) -> Ints:
        return (world.draw(label, index) >> 1).astype(np.int64) % (2 * span) - span

    for index in chunks(world.rows["geolocation"]):
        # Every eighth row is the next customer's place and some are the next seller's, so their prefixes are found here.
        turn, whose = index % 8, index // 8
        customer = np.where((turn == 0) & (whose < customers), whose, world.below("geo.customer", index, customers))
        place = world.customer_zip(customer)
        of_seller = np.flatnonzero((turn == 1) & (whose < sellers))
        place[of_seller] = world.seller_zip(whose[of_seller])
        unknown = world.chance("geo.unknown", place, 350)  # except for a few prefixes that are missing
        place = (place + unknown) % len(world.prefixes)
        city = world.zips[1][place]

        spot = (place << 20) + world.below("geo.spot", index, spots)
        stray = world.chance("geo.stray", spot, 5)
        accented = world.chance("geo.accented", spot, 13_000)
        point = []
        for axis, label in enumerate(("geo.latitude", "geo.longitude")):
            around = np.where(stray, strays[spot & 1, axis], centre[city, axis] + offset(label, place, 6 * 10**12))
            point.append(_degrees(around + offset(f"{label}.spot", spot, 10**12)))
        yield [world.prefixes[place], *point, names[2 * city + accented], states[city]]


def _make_translation(world: World) -> _Made:
    yield [as_texts(words) for words in zip(*vocabulary.CATEGORIES, strict=True)]


MAKERS: dict[str, Callable[[World], _Made]] = {
    "customers": _make_customers,
    "geolocation": _make_geolocation,
    "order_items": _make_items,
    "order_payments": _make_payments,
    "order_reviews": _make_reviews,
    "orders": _make_orders,
    "products": _make_products,
    "sellers": _make_sellers,
    "product_category_name_translation": _make_translation,
}
