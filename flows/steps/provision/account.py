"""Reads a Snowflake account as one role sees it, by SHOW, DESC and SELECT, each sent once.

SHOW lists what the role has a privilege on, and everything where it has RESOLVE ALL on the account
(https://docs.snowflake.com/en/user-guide/security-access-control-privileges#global-privileges-account-privileges). DESC and
INFORMATION_SCHEMA may hide an object that SHOW lists: then the answer here is None, "not visible", not "does not exist".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import run
from flows.contract.sql import ident
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.provision.plan import ADMINISTRATOR

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_PLURAL = {"FILE FORMAT": "FILE FORMATS", "STORAGE INTEGRATION": "INTEGRATIONS", "MASKING POLICY": "MASKING POLICIES"}

# "Insufficient privileges" and "does not exist or not authorized"; for an object that SHOW listed, both mean the former.
_REFUSED = (3001, 2003, 2043)
_SEES_ALL = {("RESOLVE ALL", "ACCOUNT"), ("MANAGE GRANTS", "ACCOUNT")}

Grants = frozenset[tuple[str, str, str]]  # (privilege, kind, name); of future grants (privilege, kind, schema)


@dataclass
class AccountReader:
    """The account's objects, each read once: rows of SHOW by kind and name, results of other statements by their text."""

    connection: SnowflakeConnection
    settings: Settings
    shown: dict[tuple[str, str], dict[str, dict[str, Any]]] = field(default_factory=dict)
    asked: dict[str, list[dict[str, Any]] | None] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """The reading role."""
        return str(self.connection.role)

    @property
    def sees_all(self) -> bool:
        """Whether the role sees every object, so that one that SHOW does not list does not exist."""
        if self.role == ADMINISTRATOR:
            return True
        return bool({grant[:2] for grant in self.granted(self.role) or ()} & _SEES_ALL)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        # SHOW and DESC read no data, and `seen` looks at the error's cause.
        return run(self.connection, sql, shows_values=True).dicts()

    def seen(self, sql: str) -> list[dict[str, Any]] | None:
        """Return the rows about an object that SHOW listed; None if the role may not see them."""
        if sql not in self.asked:
            try:
                self.asked[sql] = self.rows(sql)
            except ConfigurationError as error:
                if getattr(error.__cause__, "errno", None) not in _REFUSED:
                    raise
                self.asked[sql] = None
        return self.asked[sql]

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the SHOW row of an object; None if it does not exist or the session may not see it."""
        place, _, last = name.rpartition(".")
        return self._all(kind, place).get(last)

    def of_kind(self, kind: str, schema: str) -> list[str]:
        """Return the full names of the objects of a kind in a schema, for ON ALL … IN SCHEMA."""
        return [f"{schema}.{name}" for name in self._all(kind, schema)]

    def _all(self, kind: str, place: str) -> dict[str, dict[str, Any]]:
        """Return the objects of a kind in a place (the account, a database, a schema), by name; none without the place."""
        if (kind, place) not in self.shown:
            above = "SCHEMA" if "." in place else "DATABASE"
            exists = not place or self.find(above, place) is not None
            scope = f" IN {above} {place}" if place else ""
            rows = self.rows(f"SHOW {_PLURAL.get(kind, kind + 'S')}{scope}") if exists else []
            self.shown[kind, place] = {str(r["name"]): r for r in rows}
        return self.shown[kind, place]

    def described(self, kind: str, name: str) -> dict[str, str] | None:
        """Return the values of DESC by property; None if the role may not see them."""
        rows = self.seen(f"DESC {kind} {name}")
        if rows is None:
            return None
        # DESC USER answers with a column `value`, while its page, and DESC of every other object, have `property_value`.
        return {str(r["property"]): str(r["value"] if "value" in r else r["property_value"]) for r in rows}

    def parameters(self, kind: str, name: str) -> dict[str, str] | None:
        """Return the values of SHOW PARAMETERS by parameter; None if the role may not see them."""
        rows = self.seen(f"SHOW PARAMETERS IN {kind} {name}")
        return None if rows is None else {str(r["key"]): str(r["value"]) for r in rows}

    def granted(self, role: str) -> Grants | None:
        """Return (privilege, kind, name) of each of a role's own grants."""
        return self._grants(role, "SHOW GRANTS TO ROLE", lambda r: (r["privilege"], r["granted_on"], r["name"]))

    def promised(self, role: str) -> Grants | None:
        """Return (privilege, kind, schema) of each of a role's future grants."""
        what = "SHOW FUTURE GRANTS TO ROLE"
        return self._grants(role, what, lambda r: (r["privilege"], r["grant_on"], str(r["name"]).partition(".<")[0]))

    def holders(self, role: str) -> frozenset[tuple[str, str]] | None:
        """Return (ROLE or USER, name) of each grantee of a role."""
        rows = self._of_role("SHOW GRANTS OF ROLE", role)
        return None if rows is None else frozenset((str(r["granted_to"]), str(r["grantee_name"])) for r in rows)

    def _grants(self, role: str, show: str, parts: Callable[[dict[str, Any]], tuple[Any, Any, Any]]) -> Grants | None:
        rows = self._of_role(show, role)
        if rows is None:
            return None
        grants = (parts(row) for row in rows)
        return frozenset((str(p), str(kind).replace("_", " "), str(name).replace('"', "")) for p, kind, name in grants)

    def _of_role(self, show: str, role: str) -> list[dict[str, Any]] | None:
        return self.seen(f"{show} {ident(role)}") if self.find("ROLE", role) else []
