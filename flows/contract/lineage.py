"""Column lineage from RAW to MARTS and SNAPSHOTS: the models' SQL as compiled by dbt + the contracts → `Lineage`.

sqlglot parses the SQL: `qualify` adds the table to every column and expands each `*`
(https://sqlglot.com/sqlglot/optimizer/qualify.html); scopes resolve names within CTEs and unions. `sqlglot.lineage` works the
same way, and a test compares the two. It is not used because it reports neither columns that only join or filter, nor whose rows
`count(*)` counts, nor by which column a seed was looked up. The latter matters for PII: the region looked up by a person's state
says where the person lives, like the state itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.schema import MappingSchema

from flows.contract.model import AUDIT_COLUMNS, Source
from flows.errors import ConfigurationError

ROWS = "*"  # in place of a column's name: the existence of a row, as in count(*)
GROUND = ("RAW", "SEEDS")  # the layers where lineage begins
_DIALECT = "snowflake"
_WRAPPERS = (exp.Alias, exp.Cast, exp.TryCast, exp.Paren)  # expressions that do not change the value within


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A column of a relation: a RAW table in upper case, or a model, snapshot or seed by its dbt name."""

    relation: str
    column: str  # or ROWS


@dataclass(frozen=True, slots=True)
class Relation:
    """A RAW table, model, snapshot or seed: the direct origins of each column, and what joins, filters or sorts its rows."""

    name: str
    layer: str  # RAW, STG, INT, MARTS, SNAPSHOTS, SEEDS
    columns: Mapping[str, frozenset[Ref]]
    rows: frozenset[Ref] = frozenset()  # the relations that its rows come from
    unchanged: frozenset[str] = frozenset()  # columns that copy another column's value, except for its type
    choosing: frozenset[Ref] = frozenset()  # columns that join, filter, group or sort


@dataclass(frozen=True)
class Lineage:
    """All relations by name, each after those that it reads."""

    relations: Mapping[str, Relation]

    @cached_property
    def _origins(self) -> dict[Ref, frozenset[Ref]]:
        origins: dict[Ref, frozenset[Ref]] = {}
        for relation in self.relations.values():
            for column, made_of in {**relation.columns, ROWS: relation.rows}.items():
                ref = Ref(relation.name, column)
                if relation.layer in GROUND:
                    origins[ref] = frozenset({ref})
                else:
                    origins[ref] = frozenset(origin for r in made_of for origin in origins[r])
        return origins

    def origins(self, ref: Ref) -> frozenset[Ref]:
        """Return the columns of RAW and of seeds that `ref` is derived from, through all layers."""
        return self._origins[ref]

    def unchanged(self, ref: Ref) -> bool:
        """Return whether the value is that of the file, only typed and trimmed: nothing was computed."""
        relation = self.relations[ref.relation]
        if relation.layer in GROUND:
            return True
        return ref.column in relation.unchanged and all(self.unchanged(r) for r in relation.columns[ref.column])

    def made_from(self, origin: Ref, layer: str) -> list[Ref]:
        """Return the columns of `layer` that are derived from RAW's column `origin`."""
        inside = (ref for ref in self._origins if self.relations[ref.relation].layer == layer and ref.column != ROWS)
        return [ref for ref in inside if origin in self._origins[ref]]

    def chosen_by(self, origin: Ref) -> list[str]:
        """Return the relations after staging that join, filter or sort by `origin`."""
        after = (r for r in self.relations.values() if r.layer not in (*GROUND, "STG"))
        return [r.name for r in after if any(origin in self._origins[ref] for ref in r.choosing)]


def trace(manifest: Mapping[str, Any], sources: Iterable[Source]) -> Lineage:
    """Trace the lineage of a compiled dbt project; `manifest` is dbt's manifest.json after `dbt compile`.

    Raises:
        ConfigurationError: a model is not compiled, or reads a relation or column that does not exist.
    """
    schema = MappingSchema(dialect=_DIALECT)
    relations: dict[str, Relation] = {}
    names: dict[str, str] = {}  # the relation as SQL names it → its name here

    def add(node: Mapping[str, Any], relation: Relation) -> None:
        table = normalize_identifiers(exp.to_table(node["relation_name"], dialect=_DIALECT), dialect=_DIALECT)
        # The type does not matter: sqlglot only needs names.
        schema.add_table(table, dict.fromkeys(relation.columns, "VARCHAR"), dialect=_DIALECT)
        names[_sql_name(table)] = relation.name
        relations[relation.name] = relation

    raw = {table.raw_name: table for source in sources for table in source.tables}
    for node in manifest["sources"].values():
        table = raw.get(node["identifier"])
        # The ledger is in no contract.
        columns = (*(c.name for c in table.columns), *AUDIT_COLUMNS) if table else node["columns"]
        add(node, Relation(node["identifier"], "RAW", dict.fromkeys(columns, frozenset())))
    for node in _in_order(manifest):
        if node["resource_type"] == "seed":
            add(node, Relation(node["name"], "SEEDS", dict.fromkeys(node["columns"], frozenset())))
            continue
        if not node.get("compiled_code"):
            raise ConfigurationError(
                f"{node['unique_id']}: dbt's manifest has no SQL of it, expected that of `dbt compile`"
            )
        try:
            add(node, _Reader(node, schema, names, relations).relation())
        except (SqlglotError, LookupError) as error:
            raise ConfigurationError(
                f"{node['original_file_path']}: its columns cannot be followed: {error}"
            ) from error
    return Lineage(relations)


def _in_order(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Sort seeds, models and snapshots by kind and name, each after those that it reads."""
    kinds = ("seed", "model", "snapshot")
    waiting = {key: node for key, node in manifest["nodes"].items() if node["resource_type"] in kinds}
    waiting = dict(sorted(waiting.items(), key=lambda item: (kinds.index(item[1]["resource_type"]), item[0])))
    ordered: list[Mapping[str, Any]] = []

    def place(key: str) -> None:
        if node := waiting.pop(key, None):
            for parent in sorted(node["depends_on"].get("nodes", ())):
                place(parent)
            ordered.append(node)

    while waiting:
        place(next(iter(waiting)))
    return ordered


def _sql_name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts).upper()


class _Reader:
    """Traces one model's columns to columns of the relations that it reads."""

    def __init__(
        self, node: Mapping[str, Any], schema: MappingSchema, names: Mapping[str, str], known: Mapping[str, Relation]
    ) -> None:
        self.node, self.names, self.known = node, names, known
        qualified = qualify(parse_one(node["compiled_code"], dialect=_DIALECT), schema=schema, dialect=_DIALECT)
        self.scopes = [scope for scope in traverse_scope(qualified) if isinstance(scope.expression, exp.Query)]
        self.root = self.scopes[-1]

    def relation(self) -> Relation:
        names = _query(self.root).named_selects
        columns = {name.lower(): self._origins(self.root, name) for name in names}
        unchanged = frozenset(name.lower() for name in names if self._unchanged(self.root, name))
        return Relation(
            self.node["name"],
            self.node["schema"],
            columns,
            self._rows(self.root),
            unchanged,
            frozenset(ref for scope in self.scopes for ref in self._choosing(scope)),
        )

    def _projections(self, scope: Scope, name: str) -> list[tuple[Scope, exp.Expr]]:
        """Return the expressions of the column `name`: one, or one for each branch of a union."""
        if not scope.set_operation_scopes:
            return [(scope, next(e for e in _query(scope).selects if e.alias_or_name == name))]
        position = _query(scope).named_selects.index(name)
        return [
            projection
            for branch in scope.set_operation_scopes
            for projection in self._projections(branch, _query(branch).named_selects[position])
        ]

    def _origins(self, scope: Scope, name: str) -> frozenset[Ref]:
        origins: set[Ref] = set()
        for inner, projection in self._projections(scope, name):
            columns = list(projection.find_all(exp.Column))
            for column in columns:
                origins |= self._of_column(inner, column)
            # count(*), or a constant in a branch of a union: it only says that a row exists.
            if not columns and not isinstance(_value(projection), exp.Null):
                origins |= self._rows(inner)
        return frozenset(origins)

    def _of_column(self, scope: Scope, column: exp.Column) -> frozenset[Ref]:
        source = scope.sources[column.table]
        if isinstance(source, Scope):
            origins = self._origins(source, column.name)
        elif relation := self._table(source):
            origins = frozenset({Ref(relation.name, column.name if relation.layer == "RAW" else column.name.lower())})
        else:
            return frozenset()
        if any(self.known[ref.relation].layer == "SEEDS" for ref in origins):
            origins |= self._looked_up_by(scope, column.table)
        return origins

    def _table(self, table: exp.Table) -> Relation | None:
        """Return the relation of a table in the SQL; None for a table function."""
        return self.known.get(self.names.get(_sql_name(table), ""))

    def _looked_up_by(self, scope: Scope, alias: str) -> frozenset[Ref]:
        """Return the other side's columns in the join condition of a joined table."""
        origins: set[Ref] = set()
        for join in scope.expression.args.get("joins") or ():
            if join.alias_or_name == alias and join.args.get("on"):
                for column in join.args["on"].find_all(exp.Column):
                    if column.table != alias:
                        origins |= self._of_column(scope, column)
        return frozenset(origins)

    def _rows(self, scope: Scope) -> frozenset[Ref]:
        """Return the relations that the scope's rows come from: FROM, and joins that can remove rows (not LEFT or CROSS)."""
        if scope.set_operation_scopes:
            return frozenset(ref for branch in scope.set_operation_scopes for ref in self._rows(branch))
        joins = scope.expression.args.get("joins") or ()
        optional = {join.alias_or_name for join in joins if join.side == "LEFT" or join.kind == "CROSS"}
        origins: set[Ref] = set()
        for alias, (_, source) in scope.selected_sources.items():
            if alias in optional:
                continue
            if isinstance(source, Scope):
                origins |= self._rows(source)
            elif relation := self._table(source):
                origins.add(Ref(relation.name, ROWS))
        return frozenset(origins)

    def _unchanged(self, scope: Scope, name: str) -> bool:
        if self.node["schema"] == "STG":
            return True  # derived from the contract: staging only types and trims
        for inner, projection in self._projections(scope, name):
            value = _value(projection)
            if isinstance(value, exp.Null):
                continue
            if not isinstance(value, exp.Column):
                return False
            source = inner.sources.get(value.table)
            if isinstance(source, Scope) and not self._unchanged(source, value.name):
                return False
        return all(self.known[ref.relation].layer != "SEEDS" for ref in self._origins(scope, name))

    def _choosing(self, scope: Scope) -> frozenset[Ref]:
        """Return the columns used outside the select list: in joins, filters, groups, order."""
        if scope.set_operation_scopes:
            return frozenset()
        shown = {id(c) for projection in _query(scope).selects for c in projection.find_all(exp.Column)}
        origins: set[Ref] = set()
        for column in scope.columns:
            if id(column) not in shown:
                origins |= self._of_column(scope, column)
        return frozenset(origins)


def _query(scope: Scope) -> exp.Query:
    assert isinstance(scope.expression, exp.Query)
    return scope.expression


def _value(expression: exp.Expr) -> exp.Expr:
    while isinstance(expression, _WRAPPERS):
        expression = expression.this
    return expression
