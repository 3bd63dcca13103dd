"""Reads the delivered shipment lines from the Olist files, which tickets, surveys, visits and complaints refer to.

orders ⋈ order_items ⋈ customers (⋉ products, sellers) → Shipments, in numpy arrays, 72 bytes a line
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from flows.errors import ConfigurationError
from flows.synthetic.columns import Bits, Ints
from flows.synthetic.olist import FILES

_EPOCH = date(1970, 1, 1)
_NEEDED = ("orders", "order_items", "customers", "products", "sellers")
_IDS = {"shipment": "o.order_id", "hcp": "c.customer_unique_id", "account": "i.seller_id", "device": "i.product_id"}

# Rows with ids that are not 32 hexadecimal digits are skipped here; they break the contract of olist anyway.
_QUERY = """
SELECT {halves}, date_diff('day', DATE '1970-01-01', delivered) AS day, delivered > promised AS late
FROM (
    SELECT *, TRY_CAST(left(order_delivered_customer_date, 10) AS DATE) AS delivered,
        TRY_CAST(left(order_estimated_delivery_date, 10) AS DATE) AS promised
    FROM {orders}
) AS o
JOIN {order_items} AS i ON i.order_id = o.order_id
JOIN {customers} AS c ON c.customer_id = o.customer_id
SEMI JOIN {products} AS p ON p.product_id = i.product_id
SEMI JOIN {sellers} AS s ON s.seller_id = i.seller_id
WHERE delivered IS NOT NULL AND promised IS NOT NULL AND {hexadecimal}
ORDER BY late, day, o.order_id, i.order_item_id, i.product_id
"""


@dataclass(frozen=True, slots=True)
class Shipments:
    """Delivered shipment lines: first those on time, then the late ones, each ordered by day of delivery.

    `ids`: shipment, hcp, account and device → (high, low) 64 bits of each line's id. `day`: days since 1970-01-01. `late`: the
    first late line; late means delivered after the promised day.
    """

    ids: dict[str, tuple[Bits, Bits]]
    day: Ints
    late: int

    def delivered(self, first: date, last: date) -> tuple[range, range]:
        """Return the lines delivered from `first` to `last`, on time and late. If there is none, all lines, so that another
        year's shipments are used instead."""
        low, high = (first - _EPOCH).days, (last - _EPOCH).days
        ranges = []
        for start, part in ((0, self.day[: self.late]), (self.late, self.day[self.late :])):
            left, right = np.searchsorted(part, (low, high + 1))
            ranges.append(range(start + int(left), start + int(right)))
        in_time, late = ranges
        return (in_time, late) if in_time or late else (range(self.late), range(self.late, len(self.day)))


def read_shipments(olist: Path) -> Shipments:
    """Read the shipment lines of the Olist files in `olist`, real or generated.

    Raises:
        ConfigurationError: a file is missing or is not Olist's, or no shipment in them was delivered.
    """
    missing = [FILES[table] for table in _NEEDED if not (olist / FILES[table]).is_file()]
    if missing:
        raise ConfigurationError(
            f"{olist}: no {', '.join(missing)}; expected the Olist files whose ids tickets and surveys name. Put them into it, "
            "name another folder with --olist, or make some with `cxm generate --source olist --out DIR`"
        )
    places = {table: _csv(olist / FILES[table]) for table in _NEEDED}
    halves = ", ".join(
        f"('0x' || substr({column}, {start}, 16))::UBIGINT AS {name}_{half}"
        for name, column in _IDS.items()
        for half, start in (("high", 1), ("low", 17))
    )
    hexadecimal = " AND ".join(f"regexp_full_match({column}, '[0-9a-f]{{32}}')" for column in _IDS.values())
    with duckdb.connect(config={"temp_directory": tempfile.gettempdir()}) as connection:
        try:
            columns = connection.execute(_QUERY.format(halves=halves, hexadecimal=hexadecimal, **places)).fetchnumpy()
        except duckdb.Error as error:
            raise ConfigurationError(f"{olist}: not read as Olist files: {str(error).splitlines()[0]}") from error
    if not len(columns["day"]):
        raise ConfigurationError(f"{olist}: got no delivered shipment in {FILES['orders']}, expected one at least")
    ids = {name: (np.asarray(columns[f"{name}_high"]), np.asarray(columns[f"{name}_low"])) for name in _IDS}
    late = int(np.count_nonzero(~np.asarray(columns["late"])))
    return Shipments(ids, np.asarray(columns["day"]).astype(np.int64), late)


def _csv(path: Path) -> str:
    name = str(path).replace("'", "''")
    return f"""read_csv('{name}', header = true, all_varchar = true, delim = ',', quote = '"', escape = '"')"""
