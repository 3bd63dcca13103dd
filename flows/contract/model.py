"""The model of a contract: `data_dictionary/<source>.odcs.yaml` is read into a `Source`, which is frozen and checked.

The YAML is an Open Data Contract Standard v3.1 document (https://bitol-io.github.io/open-data-contract-standard/), parsed by
the `open-data-contract-standard` package; this module has only what the renderers and steps need of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, get_args

from flows.contract import file_names
from flows.contract.dialect import PLAIN, Dialect

AUDIT_COLUMNS = ("_LOAD_TIMESTAMP", "_BATCH_ID", "_SOURCE_FILENAME", "_SOURCE_ROW_NUMBER")

Severity = Literal["error", "warning"]
LogicalType = Literal["string", "integer", "number", "timestamp", "date", "boolean"]
Classification = Literal["public", "internal", "confidential", "restricted"]
Pii = Literal["none", "indirect", "direct"]  # indirect: points at a person together with other data
OnNewColumn = Literal["refuse", "ignore", "add"]  # what to do with a column that is not in the contract
OnMissingColumn = Literal["refuse", "null"]  # and with a column that is not in the file
OnReorder = Literal["refuse", "by name"]
RetentionUnit = Literal["day", "month", "year"]
Load = Literal["snapshot", "append"]  # each file holds all rows, or adds rows to those of earlier files


@dataclass(frozen=True, slots=True)
class Rule:
    """One quality rule. `kind` names the check; `arguments` are its arguments, as plain values, sorted by name.

    | kind | on | arguments |
    |---|---|---|
    | row_count | the table | min: int |
    | not_null | column | |
    | unique | column, or `columns` of a compound key | |
    | regex | column | pattern: str, anchored with ^ and $ |
    | in_set | column | values: tuple of str |
    | number | column | integer: bool; decimal: "," if that is the decimal mark |
    | timestamp | column | format: str, as Snowflake spells it: YYYY-MM-DD HH24:MI:SS |
    | date | column | format: YYYY-MM-DD |
    | boolean | column | words: pairs of str, yes and no; without them the values are true and false |
    | between | column | max and/or min: int or float, inclusive; the column has a `number` rule too |
    | new_values | column | none; compares with the batch published before |
    | empty_share | column | tolerance: float, by which the share of empty values may differ from that of the batch before |
    | volume | the table | window: int, last batches; weekday: bool, only the same weekday; tolerance: int or float, a factor |

    NULL satisfies every rule but not_null. Patterns use only syntax that ECMA, Snowflake, DuckDB and Python read alike: no
    backslash, no look-around.
    """

    kind: Literal[
        "not_null",
        "unique",
        "regex",
        "in_set",
        "between",
        "number",
        "timestamp",
        "date",
        "boolean",
        "row_count",
        "volume",
        "new_values",
        "empty_share",
    ]
    severity: Severity
    column: str | None = None  # RAW column name; None for a rule on the table
    columns: tuple[str, ...] = ()  # RAW names of a compound key; then `column` is None
    arguments: tuple[tuple[str, object], ...] = ()  # sorted (name, value) pairs
    description: str = ""

    def argument(self, name: str) -> Any:
        """Return the argument called `name`; None if the rule does not have it."""
        return dict(self.arguments).get(name)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file and of its RAW table; `position` counts from 1, as COPY's `$1` does."""

    name: str  # RAW name, upper case
    header: str  # as the file's first line spells it
    position: int
    logical_type: LogicalType  # what staging casts to; RAW holds VARCHAR
    business_name: str
    description: str
    required: bool
    classification: Classification
    pii: Pii
    # How its text is parsed, if not by default: arguments of the cast's macro.
    reading: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Relationship:
    """A foreign key: `columns` of this table point at `parent_columns` of RAW table `parent`, perhaps of another source."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    severity: Severity
    source: str = ""  # the parent's source; empty: the same source


@dataclass(frozen=True, slots=True)
class Limits:
    """Freshness limits: after how many hours without a delivery `dbt source freshness` warns, and fails."""

    warn_after_hours: int
    error_after_hours: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long after its last delivery a load's rows and objects are kept."""

    value: int
    unit: RetentionUnit

    def __str__(self) -> str:
        return f"{self.value} {self.unit}{'s' * (self.value != 1)}"

    @property
    def days(self) -> float:
        """About how many days, to compare two."""
        return self.value * {"day": 1, "month": 365.25 / 12, "year": 365.25}[self.unit]


@dataclass(frozen=True, slots=True)
class BadRows:
    """How many rows that break a rule of severity error may be set aside: a share of the file's rows (0 to 1), a number, or
    both."""

    max_share: float | None
    max_rows: int | None
    broken_lines: bool = False  # set aside broken lines (not valid records) too; each record must then be one line

    def allows(self, rows: int, of: int) -> bool:
        """Return whether `rows` of a file's `of` rows may be set aside."""
        return (self.max_rows is None or rows <= self.max_rows) and (
            self.max_share is None or rows <= self.max_share * of
        )

    @property
    def limit(self) -> str:
        """The limit in words."""
        share = "" if self.max_share is None else f"{self.max_share:.4%}".rstrip("0%").rstrip(".") + "% of the rows"
        rows = "" if self.max_rows is None else f"{self.max_rows:,} rows"
        return " and ".join(filter(None, (share, rows)))


REJECTED = "_REJECTED"
RULES = "_RULES"
# Columns of a rejected table for a broken line, which is not a row: the rule, the line's number, the reason, the line itself.
BROKEN_COLUMNS = (RULES, "_REJECTED_LINE", "_REJECTED_REASON", "_REJECTED_TEXT")
OWN_COLUMNS = (*AUDIT_COLUMNS, *BROKEN_COLUMNS)  # reserved: no column of a file may have such a name in RAW
BROKEN_RULE = "record"  # the rule's name in _RULES for a broken line


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the contract: its file, or the files that match its pattern, and the RAW table they are loaded into."""

    name: str  # schema entry's name and the dbt source table's, lower case: orders
    raw_name: str  # OLIST_ORDERS
    file: str  # olist_orders_dataset.csv; by day: support_tickets_{date}.csv; a pattern: orders_*.csv, orders_{date}_{part}.csv
    business_name: str
    description: str
    load: Load
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]  # RAW names; empty if it has none
    relationships: tuple[Relationship, ...] = ()
    rules: tuple[Rule, ...] = ()
    own_limits: Limits | Literal["none"] | None = None  # of freshness; None: the source's; "none": never late
    on_new_column: OnNewColumn = "refuse"
    on_missing_column: OnMissingColumn = "refuse"
    on_reorder: OnReorder = "refuse"
    allow_empty: bool = False  # a file with a header and no record is a batch of 0 rows
    optional: bool = False  # a batch is complete without its file; rows published before stay
    bad_rows: BadRows | None = None  # None: one row that breaks a rule quarantines the batch
    dialect: Dialect = PLAIN
    retention: Retention | None = None  # None: in RAW as `CXM_KEEP_BATCHES` sets, in S3 without limit

    @property
    def rejected(self) -> Table:
        """The RAW table of the rows that were set aside: the same columns, and the rules that the row broke. A broken line has
        its number, reason and text instead; the text is classified like the table's most personal column."""
        classification = max((c.classification for c in self.columns), key=get_args(Classification).index)
        pii = max((c.pii for c in self.columns), key=get_args(Pii).index)
        said = (
            ("Rules", "The rules that the row broke; `record`: it is no record", "internal", "none"),
            ("Line", "Of what is no record, the number of its line in the file", "internal", "none"),
            ("Reason", "Why it is none", "internal", "none"),
            ("Text", "The line as it stands in the file", classification, pii),
        )
        more = [
            Column(name, "", len(self.columns) + n, "string", title, text, name == RULES, known, personal)  # type: ignore[arg-type]
            for n, (name, (title, text, known, personal)) in enumerate(zip(BROKEN_COLUMNS, said, strict=True), 1)
        ]
        return replace(
            self,
            name=f"{self.name}_rejected",
            raw_name=f"{self.raw_name}{REJECTED}",
            business_name=f"{self.business_name}, set aside",
            columns=(*self.columns, *more),
            primary_key=(),
            relationships=(),
            rules=(),
            bad_rows=None,
        )

    @property
    def is_personal(self) -> bool:
        """Whether a column is about people: then no message shows a line of its file or a value of any column."""
        return any(column.pii != "none" for column in self.columns)

    @property
    def stem(self) -> str:
        """The file's name without `.csv`, date and wildcards: the table's folder under `raw/<source>/`."""
        return file_names.stem(self.file) or self.name

    @property
    def has_parts(self) -> bool:
        """Whether the table consists of several files (of one day)."""
        return file_names.is_pattern(self.file)

    @property
    def daily(self) -> bool:
        """Whether the table has a file for each day."""
        return "{date}" in self.file

    def file_on(self, day: date | None) -> str:
        """Return the file's name or pattern; for a daily table with `day` filled in (in ISO form).

        Raises:
            ValueError: the table is daily and `day` is None.
        """
        if self.daily and day is None:
            raise ValueError(f"table {self.name} has a file for each day ({self.file}): which day?")
        return self.file.replace("{date}", day.isoformat()) if day else self.file

    @property
    def header(self) -> tuple[str, ...]:
        """The file's first line, field by field."""
        return tuple(c.header for c in self.columns)


@dataclass(frozen=True, slots=True)
class Source:
    """One contract: a set of tables that are landed, loaded, validated and published together."""

    name: str  # olist
    version: str
    description: str
    schema: str  # RAW
    stage: str  # OLIST_S3_STAGE
    file_format: str  # CSV_FORMAT
    tables: tuple[Table, ...]
    warn_after_hours: int
    error_after_hours: int
    owner: str = ""
    tags: tuple[str, ...] = field(default=())
    references: tuple[Source, ...] = ()  # the sources that relationships point into

    @property
    def contract(self) -> str:
        """The contract's path in the project, with `/` as separator."""
        return f"data_dictionary/{self.name}.odcs.yaml"

    @property
    def derived_line(self) -> str:
        """The line in every file derived from this contract, by which `cxm contract sync` recognizes its files."""
        return f"derived from {self.contract} by `cxm contract sync`"

    @property
    def file_formats(self) -> dict[str, Dialect]:
        """The Snowflake file formats with which COPY reads the tables, by name; the stage's default first."""
        formats = {self.file_format: PLAIN}
        return formats | {t.dialect.file_format(self.file_format): t.dialect for t in self.tables}

    def limits(self, table: Table) -> Limits | None:
        """Return a table's freshness limits: its own, or the source's; None if the contract says that it is never late."""
        if table.own_limits == "none":
            return None
        return table.own_limits or Limits(self.warn_after_hours, self.error_after_hours)

    def parent(self, link: Relationship) -> tuple[Source, Table]:
        """Return the table that a relationship points at, and the source that owns it."""
        owner = next(s for s in (self, *self.references) if s.name == (link.source or self.name))
        return owner, owner.table(link.parent)

    def table(self, name: str) -> Table:
        """Return the table called `name` (contract name or RAW name).

        Raises:
            KeyError: no such table; the message lists the existing ones.
        """
        for table in self.tables:
            if name in (table.name, table.raw_name):
                return table
        raise KeyError(
            f"{name}: no such table in the contract of {self.name}; it has {', '.join(t.name for t in self.tables)}"
        )
