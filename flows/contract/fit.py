"""Maps the fields of a file's header to RAW columns, or says why the file does not fit its table.

file's header + `Table` with onNewColumn, onMissingColumn, onReorder ──fit──▶ `Layout`, or `MisfitError`

COPY reads fields by position (`$1`, `$2` …), so each file needs the layout of its own header, at the first load and at a replay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flows.contract.model import OWN_COLUMNS, OnNewColumn, Table
from flows.contract.raw_names import raw_name


class MisfitError(ValueError):
    """The header differs from the contract in a way that the contract does not allow; the message says how."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which RAW column each field of a file is loaded into.

    `fields`: for each field, in the file's order, its header and its RAW column (None: ignored). `added`: headers that are not in
    the contract and get a new RAW column. `missing`: headers of the contract that the file lacks; their columns are NULL."""

    fields: tuple[tuple[str, str | None], ...]
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_reordered: bool = False

    @property
    def ignored(self) -> tuple[str, ...]:
        """Headers whose fields are not loaded."""
        return tuple(header for header, name in self.fields if name is None)

    @property
    def positions(self) -> dict[str, int]:
        """RAW column → number of its field, counted from 1 like COPY's `$1`."""
        return {name: n for n, (_, name) in enumerate(self.fields, 1) if name}

    @property
    def new_columns(self) -> dict[str, str]:
        """RAW column that is not in the contract → its header."""
        return {name: header for header, name in self.fields if name and header in self.added}

    @property
    def text(self) -> str:
        """The fields as the ledger stores them: a JSON array of pairs."""
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))

    @property
    def summary(self) -> str:
        """How the file differs from the contract, in words; empty if it does not."""
        parts = [
            f"ignored: {', '.join(map(shown, self.ignored))}" if self.ignored else "",
            f"missing, NULL in RAW: {', '.join(map(shown, self.missing))}" if self.missing else "",
            f"new: {', '.join(f'{shown(h)} → {n}' for n, h in self.new_columns.items())}" if self.added else "",
            "another order, read by name" if self.is_reordered else "",
        ]
        return "; ".join(filter(None, parts))


def header_of(text: str | None) -> tuple[str, ...]:
    """Return the header in a layout's `text`; empty if the ledger has none."""
    return tuple(str(header) for header, _ in json.loads(text)) if text else ()


def raw_columns(text: str | None) -> tuple[str, ...]:
    """Return the RAW columns that a layout's `text` fills."""
    return tuple(str(name) for _, name in json.loads(text) if name) if text else ()


def fit(table: Table, header: Sequence[str]) -> Layout:
    """Return the layout of a file with this header.

    Raises:
        MisfitError: the header differs from the contract more than the table's policies allow.
    """
    named = {c.header: c.name for c in table.columns}
    new = [name for name in header if name not in named]
    missing = [c for c in table.columns if c.header not in header]
    lacking = [c.header for c in missing if table.on_missing_column == "refuse" or c.required]
    strange = new if table.on_new_column == "refuse" else []
    known, order = [h for h in header if h in named], [h for h in named if h in header]
    if repeated := sorted({name for name in header if list(header).count(name) > 1}):
        raise MisfitError(f"column {', '.join(map(shown, repeated))} occurs more than once")
    if lacking and strange and len(header) == len(named):
        pairs = [f"{shown(w)} is called {shown(f)}" for w, f in zip(named, header, strict=True) if w != f]
        raise MisfitError(f"renamed: {', '.join(pairs)}")
    if lacking or strange or not known:
        absent, extra = (lacking, strange) if known else ([c.header for c in missing], new)
        required = [c.header for c in missing if c.required]
        needed = f" ({', '.join(required)} may not be empty)" if required and table.on_missing_column == "null" else ""
        raise MisfitError(
            "; ".join(
                filter(
                    None,
                    [
                        f"missing {', '.join(absent)}{needed}" if absent else "",
                        f"not in the contract: {', '.join(map(ascii, extra))}" if extra else "",
                    ],
                )
            )
        )
    if known != order and table.on_reorder == "refuse":
        place = next(n for n, (got, expected) in enumerate(zip(known, order, strict=True)) if got != expected)
        raise MisfitError(f"another order: column {place + 1} is {shown(known[place])}, expected {shown(order[place])}")
    added = _added(table, new) if table.on_new_column == "add" else {}
    return Layout(
        tuple((name, named.get(name) or added.get(name)) for name in header),
        tuple(added),
        tuple(c.header for c in missing),
        known != order,
    )


def fit_again(table: Table, header: Sequence[str]) -> Layout:
    """Return the layout, by the current contract, of a file that was accepted before. Columns added to the contract since are
    NULL, and columns removed from it are not loaded.

    Raises:
        MisfitError: the file lacks a column that is now required.
    """
    on_new: OnNewColumn = "add" if table.on_new_column == "add" else "ignore"
    return fit(replace(table, on_new_column=on_new, on_missing_column="null", on_reorder="by name"), header)


def _added(table: Table, headers: Sequence[str]) -> dict[str, str]:
    """Name the new RAW column of each header. The name depends only on the header, so that later files load into the same one."""
    taken = {**{c.name: c.header for c in table.columns}, **dict.fromkeys(OWN_COLUMNS, "an audit column")}
    added: dict[str, str] = {}
    for header in headers:
        name = raw_name(header, table.name)
        if name in taken:
            raise MisfitError(
                f"the new column {shown(header)} would be {name} in RAW, which is taken ({taken[name]}); add it to the contract "
                "by hand, with a physicalName"
            )
        taken[name], added[header] = header, name
    return added


def shown(text: str) -> str:
    """Format a column's name for messages, quoted and escaped if it has invisible or ambiguous characters: 'v\\xa0', 'v '."""
    return text if re.fullmatch(r"[!-~]+( [!-~]+)*", text) else ascii(text)
