"""Renders the lineage page `data_dictionary/lineage.md` from `Lineage` and the contracts: from file to mart, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from flows.contract.lineage import ROWS, Lineage, Ref, Relation
from flows.contract.model import AUDIT_COLUMNS, Column, Source, Table
from flows.contract.render_dictionary import markdown_table
from flows.escape import wrap

PATH = "data_dictionary/lineage.md"

_PII = ("none", "indirect", "direct")
_CLASSES = ("public", "internal", "confidential", "restricted")
_AFTER = ("INT", "MARTS", "SNAPSHOTS")
_HEAD = """\
# Lineage of columns

<!-- derived from {contracts} and the SQL of the models, as `dbt compile` gives it, by `cxm contract lineage` -->

Which column is made of which, from file to mart and back. Type and rules of a file's column are in the [dictionary](README.md),
what a measure means is in [business_definitions.md](business_definitions.md). Change the contract or a model, not this page.

- **Made of**: the value is computed from it. What only joins, filters or sorts rows is part of no value, and is listed where a
  column serves for nothing else.
- **Rows of** a table: the value counts them, or says which table a row came from, and takes no column of that table.
- **As it is**: the file's value, trimmed and typed. **Computed**: anything else, such as an average.
- What is looked up in a **seed** is also made of the column it was looked up by: a region says where somebody is, as the state
  does.
- Where tables are put one below the other, a column is made of that column of each. The four kinds of touchpoint are one table
  in INT, so a measure of one kind names the files of all four.
- Beside what is made of several columns stand the strictest PII and the strictest class among them."""


def render(lineage: Lineage, sources: Sequence[Source]) -> dict[str, str]:
    """Render the page of all sources: `{"data_dictionary/lineage.md": text}`."""
    known = {
        Ref(table.raw_name, column.name): column
        for source in sources
        for table in source.tables
        for column in table.columns
    }
    page = _Page(lineage, known)
    lines = [
        _HEAD.format(contracts=", ".join(source.contract for source in sources)),
        "",
        "## Personal data in the marts",
        "",
        "Every column of a mart that is made of a column about people. A row that holds one of these as it is, such as `hcp_id`,",
        "says something of that person in all of its other columns too.",
        "",
        *page.personal("MARTS"),
        "",
        "SNAPSHOTS, which reports do not read, keep these as they were:",
        "",
        *page.personal("SNAPSHOTS"),
        "",
        "## From mart to file",
        "",
        *(line for mart in page.of_layer("MARTS") for line in page.mart(mart)),
        "## From file to mart",
        "",
        *(line for source in sources for table in source.tables for line in page.table(table)),
    ]
    return {PATH: wrap("\n".join(lines).rstrip() + "\n")}


class _Page:
    """The parts of the page; `known`: RAW column → the contract's column."""

    def __init__(self, lineage: Lineage, known: dict[Ref, Column]) -> None:
        self.lineage, self.known = lineage, known

    def of_layer(self, layer: str) -> list[Relation]:
        return sorted((r for r in self.lineage.relations.values() if r.layer == layer), key=lambda r: r.name)

    def personal(self, layer: str) -> list[str]:
        lines = []
        for relation in self.of_layer(layer):
            for ref in _refs(relation):
                about = [o for o in self.lineage.origins(ref) if o in self.known and self.known[o].pii != "none"]
                if about:
                    lines.append(
                        (f"`{ref.relation}.{ref.column}`", self._how(ref), _refs_text(about), self._strictest(about))
                    )
        return list(markdown_table(("Column", "How", "Made of, about people", "PII, class"), lines))

    def mart(self, mart: Relation) -> list[str]:
        header = ("Column", "How", "Made of", "PII, class of these")
        body = (
            (f"`{ref.column}`", self._how(ref), self._made_of(ref), self._strictest(self.lineage.origins(ref)))
            for ref in _refs(mart)
        )
        return [f"### {mart.name}", "", *markdown_table(header, body), ""]

    def table(self, table: Table) -> list[str]:
        staging = {
            ref.relation for name in AUDIT_COLUMNS for ref in self.lineage.made_from(Ref(table.raw_name, name), "STG")
        }
        header = ("Column", "PII, class", f"STG: {', '.join(f'`{name}`' for name in sorted(staging))}", *_AFTER)
        refs = [Ref(table.raw_name, name) for name in (*(c.name for c in table.columns), *AUDIT_COLUMNS)]
        return [
            f"### {table.raw_name}",
            "",
            f"File `{table.file}`; more in the [dictionary](README.md#{table.raw_name.lower()}).",
            "",
            *markdown_table(header, map(self._column, refs)),
            "",
        ]

    def _column(self, ref: Ref) -> tuple[str, ...]:
        staged = ", ".join(f"`{r.column}`" for r in self.lineage.made_from(ref, "STG"))
        after = {layer: self.lineage.made_from(ref, layer) for layer in _AFTER}
        cells = {layer: _by_relation(refs) for layer, refs in after.items()}
        if not after["MARTS"]:
            chosen = ", ".join(f"`{name}`" for name in self.lineage.chosen_by(ref))
            if chosen:
                cells["MARTS"] = f"no value; joins, filters or sorts {chosen}"
            else:
                cells["MARTS"] = "none" if any(after.values()) else "staging only"
        return (f"`{ref.column}`", self._strictest([ref]), staged, *cells.values())

    def _how(self, ref: Ref) -> str:
        if not self.lineage.origins(ref):
            return "made here"
        return "as it is" if self.lineage.unchanged(ref) else "computed"

    def _made_of(self, ref: Ref) -> str:
        origins = self.lineage.origins(ref)
        named = {o.relation for o in origins if o.column != ROWS}
        counted = sorted(o.relation for o in origins if o.column == ROWS and o.relation not in named)
        files = [o for o in origins if o.column != ROWS and self._layer(o) != "SEEDS"]
        seeds = sorted(o for o in origins if o.column != ROWS and self._layer(o) == "SEEDS")
        return "; ".join(
            filter(
                None,
                (
                    _refs_text(files),
                    ", ".join(f"seed `{o.relation}.{o.column}`" for o in seeds),
                    "rows of " + ", ".join(f"`{name}`" for name in counted) if counted else "",
                ),
            )
        )

    def _layer(self, ref: Ref) -> str:
        return self.lineage.relations[ref.relation].layer

    def _strictest(self, origins: Iterable[Ref]) -> str:
        columns = [self.known[o] for o in origins if o in self.known]
        if not columns:
            return ""
        pii = max((c.pii for c in columns), key=_PII.index)
        return f"{pii}, {max((c.classification for c in columns), key=_CLASSES.index)}"


def _refs(relation: Relation) -> Iterator[Ref]:
    return (Ref(relation.name, column) for column in relation.columns)


def _refs_text(refs: Iterable[Ref]) -> str:
    return ", ".join(f"`{ref.relation}.{ref.column}`" for ref in sorted(refs))


def _by_relation(refs: Iterable[Ref]) -> str:
    grouped = groupby(sorted(refs, key=lambda ref: ref.relation), key=lambda ref: ref.relation)
    return "<br>".join(f"`{name}`: {', '.join(ref.column for ref in columns)}" for name, columns in grouped)
