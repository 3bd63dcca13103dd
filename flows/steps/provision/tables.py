"""Compares RAW's tables with the contracts: tables to create, columns to add, comments and PII tags to set.

One read of INFORMATION_SCHEMA.COLUMNS and one of the tags serve all tables of all sources. Tags need Enterprise Edition
(https://docs.snowflake.com/en/user-guide/object-tagging/introduction); CXM_PII_TAGS=false leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flows.contract.model import Source, Table
from flows.contract.render_sql import add_columns, create_table
from flows.contract.sql import ident, literal
from flows.settings import Settings
from flows.steps.provision.account import AccountReader, Grants
from flows.steps.provision.plan import Action, Item

_ORDER = ("none", "indirect", "direct")


def items(account: AccountReader, settings: Settings, sources: Sequence[Source]) -> Iterator[Item]:
    """Yield an item for each RAW table of the contracts, and one for the tags if the role may not see their values."""
    comments = _columns(account, settings.database)
    tags = _tags(account, settings, sources, comments) if settings.pii_tags else None
    if settings.pii_tags and tags is None:
        yield Item("SYSADMIN", "tag", f"{settings.database}.RAW.PII", "hidden", "its values on tables and columns")
    for source in sources:
        place = f"{ident(settings.database)}.{ident(source.schema)}"
        shown = account.of_kind("TABLE", place)
        for table in made(source):
            columns = comments.get(table.raw_name)
            if columns is None and f"{place}.{table.raw_name}" in shown:
                yield Item("SYSADMIN", "table", f"{place}.{table.raw_name}", "hidden", "its columns")
                continue
            item = _item(table, place, source, settings, columns, tags)
            yield _with_owner(item, table, settings, account.granted(settings.loader_role))


def _with_owner(item: Item, table: Table, settings: Settings, granted: Grants | None) -> Item:
    """Add a change of owner to a table's item, if it has the wrong one.

    The loader's role owns a table to which its contract allows adding columns, because ALTER TABLE requires OWNERSHIP
    (https://docs.snowflake.com/en/user-guide/security-access-control-privileges#table-privileges); SYSADMIN owns the others and
    keeps its rights on all through the role hierarchy.
    """
    loader = ident(settings.loader_role)
    is_owner = ("OWNERSHIP", "TABLE", item.name) in (granted or ())
    adds = table.on_new_column == "add"
    if granted is None or adds == is_owner:
        return item
    owner = loader if adds else "SYSADMIN"
    step = f"GRANT OWNERSHIP ON TABLE {item.name} TO ROLE {owner} COPY CURRENT GRANTS"
    why = "; ".join(filter(None, [item.why, f"owner: expected {owner}, since onNewColumn is {table.on_new_column}"]))
    action: Action = "changed" if item.action == "unchanged" else item.action
    return replace(item, action=action, why=why, steps=(*item.steps, step))


def made(source: Source) -> list[Table]:
    """Return the RAW tables of a source: one for each contract table, and a rejected table if it sets bad rows aside."""
    return [made for t in source.tables for made in ((t, t.rejected) if t.bad_rows else (t,))]


def _columns(account: AccountReader, database: str) -> dict[str, dict[str, str]]:
    """Return the comments in RAW: table → column → comment."""
    if account.find("DATABASE", database) is None:
        return {}
    comments: dict[str, dict[str, str]] = {}
    sql = (
        f"SELECT TABLE_NAME, COLUMN_NAME, COMMENT FROM {ident(database)}.INFORMATION_SCHEMA.COLUMNS "
        "WHERE TABLE_SCHEMA = 'RAW' ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )
    for row in account.seen(sql) or ():
        comments.setdefault(str(row["table_name"]), {})[str(row["column_name"])] = str(row["comment"] or "")
    return comments


def pii(table: Table) -> dict[str, str]:
    """Return the PII class of each column that has one; `""`: the strictest of them, for the table itself."""
    classes = {c.name: c.pii for c in table.columns if c.pii != "none"}
    highest = max((c.pii for c in table.columns), key=_ORDER.index)
    return {"": highest, **classes} if classes else {}


def _tags(
    account: AccountReader, settings: Settings, sources: Sequence[Source], comments: Mapping[str, Mapping[str, str]]
) -> dict[str, str] | None:
    """Read the PII tags of the tables and columns that should have one, in one query: `DB.RAW.TABLE[.COLUMN]` → value; None: the
    role may not see them (https://docs.snowflake.com/en/sql-reference/functions/system_get_tag)."""
    tag = f"{settings.database}.RAW.PII"
    if account.find("TAG", tag) is None:
        return {}
    names = [
        ".".join(filter(None, (settings.database, source.schema, table.raw_name, column)))
        for source in sources
        for table in made(source)
        for column in pii(table) | ({"": ""} if settings.masking else {})
        if table.raw_name in comments and (not column or column in comments[table.raw_name])
    ]
    if not names:
        return {}
    calls = [
        f"SYSTEM$GET_TAG({literal(tag)}, {literal(name)}, '{'COLUMN' if name.count('.') == 3 else 'TABLE'}')"
        for name in names
    ]
    rows = account.seen(f"SELECT {', '.join(f'{call} AS V{n}' for n, call in enumerate(calls))}")
    if rows is None:
        return None
    return {name: str(v) for name, v in zip(names, rows[0].values(), strict=True) if v is not None}


def _item(
    table: Table,
    place: str,
    source: Source,
    settings: Settings,
    comments: Mapping[str, str] | None,
    tags: Mapping[str, str] | None,
) -> Item:
    name = f"{place}.{ident(table.raw_name)}"
    whys: list[str] = []
    steps: list[str] = []
    if comments is None:
        steps.append(create_table(table, settings.database, source.schema))
        whys.append("does not exist")
    else:
        if missing := [c for c in table.columns if c.name not in comments]:
            steps.append(add_columns(table, missing, settings.database, source.schema))
            whys.append(f"columns missing: {', '.join(c.name for c in missing)}")
        for column in table.columns:
            comment = f"{column.business_name}: {column.description}"
            if comments.get(column.name, comment) != comment:
                steps.append(f"COMMENT ON COLUMN {name}.{ident(column.name)} IS {literal(comment)}")
                whys.append(f"comment of {column.name} differs")
    if tags is not None:
        tag = f"{ident(settings.database)}.RAW.PII"
        classes = pii(table)
        if settings.masking:  # a column without a tag has its table's, and would be masked with the others
            classes.pop("", None)
        inherits = settings.masking and name in tags
        if inherits:
            steps.append(f"ALTER TABLE {name} UNSET TAG {tag}")
            whys.append("PII tag on the table, which masks each of its columns")
        for column_name, value in classes.items():
            if tags.get(f"{name}.{column_name}".rstrip(".")) == value and not inherits:
                continue
            where = f"MODIFY COLUMN {ident(column_name)} " if column_name else ""
            steps.append(f"ALTER TABLE {name} {where}SET TAG {tag} = {literal(value)}")
            if comments is not None:
                whys.append(f"PII tag of {column_name or 'the table'} is not {value}")
    action = "created" if comments is None else "changed" if steps else "unchanged"
    return Item("SYSADMIN", "table", name, action, "; ".join(whys), tuple(steps))  # type: ignore[arg-type]
