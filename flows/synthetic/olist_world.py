"""The shop behind the nine files: orders, items, people and places, determined by (seed, scale) and computed by row number.

(seed, scale) → World → orders(rows), items(orders), a customer's post code, …; nothing is kept that grows with the scale
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flows.synthetic import vocabulary
from flows.synthetic.columns import CHUNK, Draws, Ints, Texts, as_hex, as_texts, choice_table, draw_key
from flows.synthetic.olist_numbers import (
    DAY,
    MANY_ITEMS,
    MANY_PAYMENTS,
    MANY_REVIEWS,
    NO_PAYMENT,
    NO_REVIEW,
    SEGMENTS,
    WITHOUT_ITEMS,
    ZIPS,
    choices,
    curves,
)


@dataclass(frozen=True, slots=True)
class _Spread:
    """How many children each parent has: none for ranks below `empty`, then `sizes[k]` up to the (exclusive) rank `ends[k]`."""

    empty: int
    sizes: Ints
    ends: Ints

    @classmethod
    def exact(cls, parents: int, children: int, empty: int, many: dict[int, int], scale: float) -> _Spread:
        """Make a spread that gives exactly `children`: `many` (size → parents at scale 1) is scaled, size 2 takes up the rest."""
        filled = min(parents - min(empty, parents - 1), children)
        counts = {size: int(number * scale) for size, number in many.items()}
        pairs = children - filled - sum((size - 1) * number for size, number in counts.items())
        counts |= {2: pairs, 1: filled - pairs - sum(counts.values())}
        sizes = np.array(list(counts), dtype=np.int64)
        return cls(parents - filled, sizes, np.cumsum(list(counts.values()), dtype=np.int64))

    def counts(self, rank: Ints) -> Ints:
        position = np.searchsorted(self.ends, np.maximum(rank - self.empty, 0), side="right")
        return np.where(rank < self.empty, 0, self.sizes[np.minimum(position, len(self.sizes) - 1)])


@dataclass(frozen=True, slots=True)
class Orders:
    """A chunk of orders; times in seconds from the epoch, -1 if the order did not get that far. All arrays have one length."""

    index: Ints
    rank: Ints  # the order's position among all orders, sorted by status
    segment: Ints  # row of SEGMENTS
    customer: Ints
    state: Ints  # of the customer
    purchase: Ints
    approved: Ints
    carrier: Ints
    delivered: Ints
    estimated: Ints


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a chunk of orders; money in cents. All arrays have one length."""

    at: Ints  # position of the order in its chunk
    number: Ints  # from 0 within the order
    product: Ints
    seller: Ints
    price: Ints
    freight: Ints


class World(Draws):
    """Everything that (seed, scale) determines, computed by row number; its memory does not grow with the scale."""

    def __init__(self, seed: int, rows: dict[str, int], scale: float) -> None:
        super().__init__(seed)
        self.rows, self.scale = rows, scale
        orders = rows["orders"]
        ends, total = [], 0
        for _, number, *_ in SEGMENTS:
            total += number
            ends.append(min(round(total * scale), orders))
        ends[-1] = orders
        self.segment_ends = np.array(ends, dtype=np.int64)
        without = ends[len(WITHOUT_ITEMS) - 1]
        self.item_spread = _Spread.exact(orders, rows["order_items"], without, MANY_ITEMS, scale)
        unpaid, silent = round(NO_PAYMENT * scale), round(NO_REVIEW * scale)
        self.payment_spread = _Spread.exact(orders, rows["order_payments"], unpaid, MANY_PAYMENTS, scale)
        self.review_spread = _Spread.exact(orders, rows["order_reviews"], silent, MANY_REVIEWS, scale)

    def popular(self, label: str, index: Ints, limit: int) -> Ints:
        """Draw a number below `limit`, small ones much more likely: few products and distributors make most of the sales."""
        u = self.draw(label, index) >> 32
        return ((((u * u) >> 32) * limit) >> 32).astype(np.int64)

    def curve(self, name: str, index: Ints) -> Ints:
        return curves()[name][self.u16(name, index)]

    def shuffled(self, label: str, index: Ints, size: int) -> Ints:
        """Permute 0 … size - 1 by an affine map, which needs no table."""
        key = draw_key(self.seed, f"{label}.shuffle")
        step = 1 + key % size
        while math.gcd(step, size) != 1:
            step += 1
        return (index * (step % size) + key // size % size) % size

    def ids(self, table: str, index: Ints) -> Texts:
        """Make a unique id of 32 hexadecimal digits per row number."""
        return as_hex(self.draw(f"{table}.id", index), self.draw(f"{table}.id.low", index))

    # Places

    @cached_property
    def zips(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Post code prefixes, spread evenly over each city's range: (prefix, city) of each, then (first, number) of each city."""
        cities = vocabulary.CITIES
        share = np.bincount(choices()["customer_city"], minlength=len(cities))
        span = {s.code: s.zips for s in vocabulary.STATES}
        weights = {code: sum(c.weight for c in cities if c.state == code) for code in span}
        used = dict.fromkeys(span, 0)
        prefixes: list[int] = []
        city_of: list[int] = []
        first, number = [], []
        for k, city in enumerate(cities):
            low, high = span[city.state]
            start = low + (high + 1 - low) * used[city.state] // weights[city.state]
            used[city.state] += city.weight
            width = low + (high + 1 - low) * used[city.state] // weights[city.state] - start
            count = min(width, max(1, round(ZIPS * min(1.0, self.scale) * int(share[k]) / (1 << 16))))
            first.append(len(prefixes))
            number.append(count)
            prefixes += [start + width * j // count for j in range(count)]
            city_of += [k] * count
        return tuple(np.array(a, dtype=np.int64) for a in (prefixes, city_of, first, number))  # type: ignore[return-value]

    @cached_property
    def city_state(self) -> Ints:
        codes = [s.code for s in vocabulary.STATES]
        return np.array([codes.index(c.state) for c in vocabulary.CITIES], dtype=np.int64)

    def zip_in_city(self, label: str, index: Ints, city: Ints) -> Ints:
        _, _, first, number = self.zips
        return first[city] + self.below(label, index, number[city])

    @cached_property
    def prefixes(self) -> Texts:
        return as_texts([f"{prefix:05}" for prefix in self.zips[0]])

    def person(self, customer: Ints) -> Ints:
        """Return the customer number under which the person behind `customer` first bought; 3.4 % bought before."""
        again = self.chance("person.again", customer, 3_400)
        return np.where(again, self.below("person", customer, self.rows["customers"]), customer)

    def customer_zip(self, customer: Ints) -> Ints:
        person = self.person(customer)
        city = choices()["customer_city"][self.u16("customer.city", person)]
        return self.zip_in_city("customer.zip", person, city)

    @cached_property
    def cities_of_state(self) -> Ints:
        """One row per state: 65,536 of its cities, each as often as its weight."""
        cities = vocabulary.CITIES
        rows = [
            np.flatnonzero(self.city_state == s)[choice_table([c.weight for c in cities if c.state == state.code])]
            for s, state in enumerate(vocabulary.STATES)
        ]
        return np.stack(rows)

    def seller_zip(self, seller: Ints) -> Ints:
        state = choices()["seller_state"][self.u16("seller.state", seller)]
        city = self.cities_of_state[state, self.u16("seller.city", seller)]
        return self.zip_in_city("seller.zip", seller, city)

    # Sales

    def orders(self, index: Ints) -> Orders:
        rank = self.shuffled("orders", index, self.rows["orders"])
        segment = np.searchsorted(self.segment_ends, rank, side="right")
        customer = self.shuffled("customers", index, self.rows["customers"])
        state = self.city_state[self.zips[1][self.customer_zip(customer)]]
        transit = np.array([s.transit_days for s in vocabulary.STATES], dtype=np.int64)[state] * DAY
        promised = np.array([s.promised_days for s in vocabulary.STATES], dtype=np.int64)[state] * DAY
        day = choices()["day"][self.u16("order.day", index)]
        hour = choices()["hour"][self.u16("order.hour", index)]
        purchase = day * DAY + hour * 3600 + self.below("order.second", index, 3600)
        approved = purchase + self.curve("approval", index) * 60 + self.below("order.approval", index, 60)
        carrier = approved + self.curve("handling", index) * 60 + self.below("order.handling", index, 1800)
        wait = self.curve("transit", index) * transit // 1000 + self.below("order.transit", index, 7200)
        delivered = carrier + np.minimum(wait, 200 * DAY)
        estimated = (purchase + self.curve("promise", index) * promised // 1000) // DAY * DAY + DAY
        reached = np.array([s[2:] for s in SEGMENTS], dtype=np.int64)[segment]
        luck = self.below("order.reached", index, 100_000)
        return Orders(
            index,
            rank,
            segment,
            customer,
            state,
            purchase,
            np.where(luck < reached[:, 0], approved, -1),
            np.where(luck < reached[:, 1], carrier, -1),
            np.where(luck < reached[:, 2], delivered, -1),
            estimated,
        )

    def items(self, orders: Orders, before: int) -> Items:
        """Return the items of `orders`; `before` is how many items all earlier orders have."""
        spread = self.item_spread
        filled = self.rows["orders"] - spread.empty
        mixed = spread.empty + self.shuffled("items", np.maximum(orders.rank - spread.empty, 0), filled)
        counts = spread.counts(np.where(orders.rank < spread.empty, orders.rank, mixed))
        at, number = children(counts)
        item = before + np.arange(len(at), dtype=np.int64)
        products, sellers = self.rows["products"], self.rows["sellers"]
        # More than half of the further items repeat the first. Every third item takes the next product of a round, so that
        # nearly every product, and with it every seller, is sold at least once.
        source = np.where((item % 3 != 0) & self.chance("item.repeat", item, 55_000), item - number, item)
        chosen = self.popular("item.product", source, products)
        place = np.where((source % 3 == 0) & (source // 3 < products), source // 3, chosen)
        product = self.shuffled("products", place, products)
        elsewhere = self.chance("item.elsewhere", source, 2_000)
        home = np.where(product < sellers, product, self.popular("product.seller", product, sellers))
        seller = np.where(elsewhere, self.popular("item.seller", source, sellers), home)
        seller = self.shuffled("sellers", seller, sellers)
        near = self.city_state[self.zips[1][self.seller_zip(seller)]] == orders.state[at]
        far = np.array([40 + 4 * s.transit_days for s in vocabulary.STATES], dtype=np.int64)[orders.state[at]]
        bulky = self.chance("item.bulky", product, 55_000)
        luck = np.where(bulky, self.weight_luck(product), self.u16("item.freight", source))
        freight = np.where(
            self.chance("item.gratis", source, 340), 0, curves()["freight"][luck] * np.where(near, 70, 20 + far) // 100
        )
        return Items(at, number, product, seller, self.price(product), freight)

    def price(self, product: Ints) -> Ints:
        """Return prices in cents; most end like shelf prices (.90, .99, .00), some in any cent."""
        price = curves()["price"][self.u16("product.price", product)]
        ending = np.array([90, 99, 0, 90, 99, 90, -1, -1], dtype=np.int64)[self.below("product.ending", product, 8)]
        return np.where((ending < 0) | (price < 500), price, price // 100 * 100 + ending)

    def weight_luck(self, product: Ints) -> Ints:
        """Return the 16 bits that pick a product's weight; expensive products tend to be heavier."""
        like_price = self.chance("product.heavy", product, 35_000)
        return np.where(like_price, self.u16("product.price", product), self.u16("product.weight", product))


def children(counts: Ints) -> tuple[Ints, Ints]:
    """Return each child's parent position, and its number among its siblings from 0, for parents with `counts` children."""
    at = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    return at, np.arange(len(at), dtype=np.int64) - first[at]


def chunks(rows: int) -> Iterator[Ints]:
    for start in range(0, rows, CHUNK):
        yield np.arange(start, min(start + CHUNK, rows), dtype=np.int64)
