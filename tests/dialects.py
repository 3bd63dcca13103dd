"""Dialects, files written in them, and Python's csv module as the judge of what landing sends and COPY reads, cell by cell."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from hypothesis import strategies as st

from flows.contract.dialect import PLAIN, Dialect
from flows.contract.model import Column, Source, Table
from flows.settings import Settings
from flows.steps.provision.snowflake import statements

Rows = list[tuple[str | None, ...]]


def table(dialect: Dialect, width: int = 3, name: str = "kits") -> Table:
    columns = tuple(
        Column(f"C{n}", f"c{n}", n, "string", f"c{n}", f"c{n}", required=False, classification="internal", pii="none")
        for n in range(1, width + 1)
    )
    return Table(
        name, f"D_{name.upper()}", f"{name}.csv", name, "…", "snapshot", columns, (), dialect=dialect, allow_empty=True
    )


def source(*tables: Table) -> Source:
    return Source("d", "1.0.0", "…", "RAW", "D_S3_STAGE", "CSV_FORMAT", tables, 24, 48)


def file_format(dialect: Dialect) -> str:
    """Return the CREATE FILE FORMAT statement of a dialect, as provisioning sends it."""
    owner = source(table(dialect))
    name = dialect.file_format(owner.file_format)
    made = (s.bare for s in statements(Settings(), [owner], "arn:aws:iam::000000000000:role/r"))
    return next(s for s in made if s.startswith("CREATE FILE FORMAT") and re.search(rf"\.{name}\s", s))


def written(rows: list[list[str]], dialect: Dialect, quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    """Write a file with the csv module: a header, unless the dialect has none, and the rows."""
    end = {"lf": "\n", "cr": "\r"}[dialect.line_end]
    text = io.StringIO(newline="")
    marks = {"quotechar": dialect.quote} if dialect.quote else {"quotechar": None}
    writer = csv.writer(
        text,
        delimiter=dialect.delimiter,
        lineterminator=end,
        escapechar=dialect.escape or None,
        doublequote=not dialect.escape,
        quoting=quoting if dialect.quote else csv.QUOTE_NONE,  # type: ignore[arg-type]
        **marks,
    )
    if dialect.header:
        writer.writerow([f"c{n}" for n in range(1, len(rows[0]) + 1)])
    writer.writerows(rows)
    return text.getvalue().encode(dialect.codec)


def by_csv(data: bytes, dialect: Dialect) -> Rows:
    """Read a file with the csv module; a null word or an empty field is None."""
    text = data.decode(dialect.codec).removeprefix("\ufeff")
    # A CR ends a line where the dialect says so; elsewhere only LF does, after which csv is given the next line.
    lines = re.findall(r"[^\r]*\r|[^\r]+\Z", text) if dialect.line_end == "cr" else io.StringIO(text, newline="\n")
    rows = list(csv.reader(lines, **dialect.csv))
    nulls = {"", *dialect.nulls}
    return [tuple(None if v in nulls else v for v in row) for row in rows[dialect.header :]]


DIALECTS: dict[str, Dialect] = {
    "the default": PLAIN,
    "Excel in Germany": Dialect(delimiter=";", encoding="windows-1252", decimal=","),
    "tab, no quotes": Dialect(delimiter="\t", quote="", encoding="iso-8859-1", nulls=("NULL",)),
    "pipe, single quotes": Dialect(delimiter="|", quote="'", encoding="iso-8859-15", nulls=("-", "n/a")),
    "backslash": Dialect(escape="\\", nulls=()),
    "MySQL": Dialect(delimiter="\t", quote="", escape="\\", nulls=("\\N",)),
    "UTF-16": Dialect(delimiter="\t", encoding="utf-16"),
    "UTF-16LE": Dialect(delimiter=";", encoding="utf-16le", header=False),
    "no header": Dialect(delimiter=";", header=False, nulls=("NULL", "-")),
    "old Mac": Dialect(line_end="cr", encoding="macintosh"),
    "Japanese": Dialect(encoding="shift_jis"),
    "Central Europe": Dialect(delimiter=";", quote="'", escape="^", encoding="windows-1250"),
}
anything = st.builds(
    Dialect,
    delimiter=st.sampled_from(",;\t|"),
    quote=st.sampled_from(['"', "'", ""]),
    escape=st.sampled_from(["", "\\"]),
    encoding=st.sampled_from(["utf-8", "utf-8", "windows-1252", "utf-16", "utf-16be", "shift_jis"]),
    header=st.booleans(),
    line_end=st.sampled_from(["lf", "lf", "cr"]),
    nulls=st.sampled_from([("null",), ("NULL", "-"), ()]),
)


def sent(path: Path, of: Table) -> bytes:
    """Return the bytes that landing sends for a file, before compression."""
    from flows.places import local
    from flows.steps.land import read

    blocks: list[bytes] = []
    with (local(path.parent) / path.name).open() as opened:
        read(path.name, opened, of, lambda block: blocks.append(block.data), blocks.clear)
    return b"".join(blocks)
