"""Parses a COPY INTO <table> statement, and checks it before a file is opened: target, options, SELECT, location, format.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
"""

from __future__ import annotations

import re

import duckdb
from sqlglot import exp

from flows.embedded.warehouse.copy.csv_format import CsvFormat, OptionError
from flows.embedded.warehouse.copy.options import (
    bound,
    compilation,
    fail,
    invalid,
    read_options,
    url_storage,
)
from flows.embedded.warehouse.copy.source import CopySource
from flows.embedded.warehouse.copy.target import Column, find_target
from flows.embedded.warehouse.session.context import SessionContext


class CopyStatement:
    """One parsed statement; `__init__` checks in the order in which Snowflake does.

    Raises ProgrammingError with Snowflake's code, state and text for an invalid statement.
    """

    def __init__(self, duck: duckdb.DuckDBPyConnection, session: SessionContext, tree: exp.Copy) -> None:
        for place in tree.args.get("files") or []:
            if isinstance(place.this, exp.Literal) and not place.this.name.startswith("s3://"):
                raise compilation(1011, "42601", f"invalid URL prefix found in: '{place.this.name}'")
        if not isinstance(tree.this, (exp.Table, exp.Schema)) or isinstance(tree.this.this, (exp.Var, exp.Literal)):
            raise fail(2, "0A000", "Unsupported feature 'COPY INTO <location>'.")
        self.tree = tree
        self.options = read_options(tree, session)
        self.select, location = self._from()
        self.target = find_target(duck, session, tree)
        self.source = CopySource(location, session, url_storage(tree, session))
        self.format = self._format()
        self._check()
        if self.select is not None:
            for place, value in [(p, exp.convert(bound(p, session))) for p in self.select.find_all(exp.Placeholder)]:
                place.replace(value)

    @property
    def filled(self) -> list[Column]:
        """The target columns that get values, in the order of the values."""
        return self.target.named if self.options.match_by == "NONE" else self.target.every

    def _from(self) -> tuple[exp.Select | None, str]:
        """Return the SELECT in FROM, None without one, and the stage or URL.

        "COPY statement only supports simple SELECT": no WHERE, JOIN, GROUP BY, ORDER BY, LIMIT, DISTINCT
        (https://docs.snowflake.com/en/user-guide/data-load-transform#unsupported-filters-and-limits).
        """
        files = self.tree.args.get("files") or []
        if len(files) != 1:
            # Without FROM, COPY reads the table's own stage (copy-into-table, "the FROM clause is not required").
            target = self.tree.this.find(exp.Table)
            return None, "@" + ".".join([*(p.sql(dialect="snowflake") for p in target.parts[:-1]), f"%{target.name}"])
        source = files[0]
        select: exp.Select | None = None
        if isinstance(source, exp.Subquery):
            select = source.this
            table = select.args.get("from_") if isinstance(select, exp.Select) else None
            extra = [k for k, v in select.args.items() if v and k not in ("expressions", "from_", "kind", "hint")]
            if not isinstance(select, exp.Select) or table is None or extra:
                raise fail(2098, "0A000", "SQL compilation error:\n"
                      "COPY statement only supports simple SELECT from stage statements for import.")  # fmt: skip
            source = table.this
        node = source.this
        if isinstance(node, exp.Var) and str(node.this).startswith("@"):
            if select is not None and (source.args.get("format") or source.args.get("pattern")):
                raise compilation(
                    1003, "42000", "FILE_FORMAT and PATTERN belong behind the FROM clause of a COPY statement."
                )
            return select, str(node.this)
        if isinstance(node, exp.Literal) and node.is_string:
            credentials = self.tree.args.get("credentials")
            if credentials is not None and credentials.args.get("encryption"):
                raise fail(2, "0A000", "Unsupported feature 'ENCRYPTION': the embedded object store does not encrypt.")
            if select is not None:
                raise compilation(1011, "42601", f"invalid URL prefix found in: '{node.this}'")
            return None, str(node.this)
        raise compilation(1011, "42601", f"invalid URL prefix found in: {source.sql(dialect='snowflake')}")

    def _format(self) -> CsvFormat:
        """Return the file format: the statement's options, else the stage's, else the defaults
        (https://docs.snowflake.com/en/user-guide/data-load-prepare#overriding-default-file-format-options)."""
        chosen = self.options.file_format
        if chosen is None:
            chosen = self.source.stage.file_format if self.source.stage else {}
        try:
            return CsvFormat.from_options(chosen)
        except OptionError as e:
            if e.why:
                raise fail(2, "0A000", f"Unsupported feature '{e.name} = {e.value}': {e.why}.") from None
            if e.value is None:
                raise compilation(1006, "42601", f"invalid parameter '{e.name}'") from None
            raise invalid(e.name, e.value) from None

    def _check(self) -> None:
        options = self.options
        if self.select is not None:
            if options.validation:
                # "VALIDATION_MODE does not support COPY statements that transform data during a load" (copy-into-table).
                raise compilation(1006, "42601", "invalid parameter 'VALIDATION_MODE'")
            if options.match_by != "NONE":
                raise compilation(1006, "42601", "invalid parameter 'MATCH_BY_COLUMN_NAME'")
            if len(self.select.expressions) != len(self.target.named):
                raise compilation(2020, "21S01", "Insert value list does not match column list expecting "
                             f"{len(self.target.named)} but got {len(self.select.expressions)}")  # fmt: skip
        if options.include_metadata and options.match_by == "NONE":
            raise compilation(1006, "42601", "invalid parameter 'INCLUDE_METADATA'")
        if options.match_by != "NONE" and not self.format.parse_header:
            raise compilation(
                2019, "0A000", "Insufficient data for MATCH_BY_COLUMN_NAME: CSV needs PARSE_HEADER = TRUE."
            )
        if options.match_by == "NONE" and self.format.parse_header:
            # https://docs.snowflake.com/en/sql-reference/sql/create-file-format#type-csv: PARSE_HEADER
            raise compilation(2019, "0A000", "Invalid file format PARSE_HEADER: it is for MATCH_BY_COLUMN_NAME alone.")
        if options.pattern is not None:
            try:
                re.compile(options.pattern)
            except re.error:
                raise compilation(100048, "2201B", f"Invalid regular expression: '{options.pattern}'") from None
