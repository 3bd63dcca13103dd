"""INFORMATION_SCHEMA.POLICY_REFERENCES: the name of a policy, or of an object ──▶ the masked columns and their policies.

https://docs.snowflake.com/en/sql-reference/functions/policy_references. A role sees the rows if it owns or may apply the policy,
or has APPLY MASKING POLICY on the account.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from flows.embedded.warehouse.account.objects import MASKING_POLICY, AccountObject
from flows.embedded.warehouse.session import policies
from flows.embedded.warehouse.text import errors
from flows.embedded.warehouse.text.grammar import split_name
from flows.embedded.warehouse.translate.masking import columns_of

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection

_COLUMNS = (
    "POLICY_DB", "POLICY_SCHEMA", "POLICY_NAME", "POLICY_KIND", "REF_DATABASE_NAME", "REF_SCHEMA_NAME", "REF_ENTITY_NAME",
    "REF_ENTITY_DOMAIN", "REF_COLUMN_NAME", "REF_ARG_COLUMN_NAMES", "TAG_DATABASE", "TAG_SCHEMA", "TAG_NAME", "POLICY_STATUS",
)  # fmt: skip
_KINDS = {"TABLE": ("TABLE", "VIEW"), "VIEW": ("VIEW",), "TAG": ("TAG",)}


def rows(conn: WarehouseConnection, call: exp.Anonymous) -> pa.Table:
    """Return the rows of one call."""
    given = {str(a.this.name).upper(): a.expression.name for a in call.expressions if isinstance(a, exp.Kwarg)}
    references: list[tuple[str | None, ...]] = []
    if set(given) == {"POLICY_NAME"}:
        name = ".".join(conn.qualify(split_name(given["POLICY_NAME"])))
        if conn.account.find(MASKING_POLICY, name) is None or not _sees(conn, name):
            raise errors.not_found("POLICY", name)
        items = [item for kind in ("TABLE", "VIEW", "TAG") for item in conn.account.all(kind)]
        references = [row for item in items for row in _of(conn, item) if ".".join(map(str, row[:3])) == name]
    elif set(given) == {"REF_ENTITY_NAME", "REF_ENTITY_DOMAIN"}:
        domain = given["REF_ENTITY_DOMAIN"].upper()
        if domain not in _KINDS:
            raise errors.unsupported(f"POLICY_REFERENCES of {domain}")
        name = ".".join(conn.qualify(split_name(given["REF_ENTITY_NAME"])))
        item = next((i for kind in _KINDS[domain] if (i := conn.account.find(kind, name))), None)
        if item is None:
            raise errors.not_found(domain, name)
        references = [row for row in _of(conn, item) if _sees(conn, ".".join(map(str, row[:3])))]
    else:
        raise errors.unsupported(
            "POLICY_REFERENCES with other arguments than POLICY_NAME, or REF_ENTITY_NAME and REF_ENTITY_DOMAIN"
        )
    return pa.Table.from_pylist(
        [dict(zip(_COLUMNS, row, strict=True)) for row in references],
        schema=pa.schema([(n, pa.string()) for n in _COLUMNS]),
    )


def _sees(conn: WarehouseConnection, name: str) -> bool:
    return conn.may_see(MASKING_POLICY, name) or conn.may("APPLY MASKING POLICY", "ACCOUNT", "")


def _of(conn: WarehouseConnection, item: AccountObject) -> list[tuple[str | None, ...]]:
    place = item.name.split(".", 2)
    if item.kind == "TAG":
        applied: list[str] = list(item.properties.get("policies") or [])  # type: ignore[call-overload]
        return [
            (*policy.split(".", 2), "MASKING_POLICY", *place, "TAG", None, None, None, None, None, "ACTIVE")
            for policy in applied
        ]
    if not policies.may_mask(conn, item):
        return []
    references: list[tuple[str | None, ...]] = []
    for column, type_ in columns_of(conn, item).items():
        several = policies.candidates(conn, item, column, type_)
        status = "ACTIVE" if len(several) == 1 else "MULTIPLE_MASKING_POLICY_ASSIGNED_TO_THE_COLUMN"
        for attached in several:
            using = json.dumps(list(attached.using)) if attached.using else None
            tag = attached.tag.split(".", 2) if attached.tag else (None, None, None)
            references.append(
                (
                    *attached.policy.name.split(".", 2),
                    "MASKING_POLICY",
                    *place,
                    item.kind,
                    column,
                    using,
                    *tag,
                    status,
                )
            )
    return references
