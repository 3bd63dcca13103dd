"""What an account holds: objects, grants on them, and the roles that every account has
(https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

REGION = "AWS_US_EAST_1"


ACCOUNT_NAME = "CXM_EMBEDDED"


ORGANIZATION = "EMBEDDED"


ACCOUNTADMIN = "ACCOUNTADMIN"


MASKING_POLICY = "MASKING POLICY"


PUBLIC = "PUBLIC"


# https://docs.snowflake.com/en/user-guide/security-access-control-overview#system-defined-roles: role → the roles it holds.
SYSTEM_ROLES: Mapping[str, tuple[str, ...]] = {
    "ACCOUNTADMIN": ("SYSADMIN", "SECURITYADMIN"),
    "SECURITYADMIN": ("USERADMIN",),
    "SYSADMIN": (),
    "USERADMIN": (),
    "ORGADMIN": (),
    "PUBLIC": (),
}


# What those roles may do on the account without a grant; SHOW GRANTS does not list it.
SYSTEM_PRIVILEGES: Mapping[str, frozenset[str]] = {
    "SYSADMIN": frozenset({"CREATE DATABASE", "CREATE WAREHOUSE"}),
    "SECURITYADMIN": frozenset({"MANAGE GRANTS"}),
    "USERADMIN": frozenset({"CREATE USER", "CREATE ROLE"}),
}


@dataclass(frozen=True)
class AccountObject:
    """One object of the account: `kind` as in SQL (`FILE FORMAT`), `name` dotted and normalised."""

    kind: str
    name: str
    owner: str
    comment: str = ""
    created_on: datetime = field(default_factory=lambda: datetime.now(UTC))
    properties: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """A privilege on an object, a future one (`future`, then `on_name` is the database or schema), or a role.

    A role granted to a role or user has privilege USAGE and `on_kind` ROLE, as SHOW GRANTS reports it.
    """

    privilege: str
    on_kind: str
    on_name: str
    to_kind: str
    to_name: str
    future: bool = False
    grant_option: bool = False
    granted_by: str = ""
    created_on: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> tuple[object, ...]:
        """The fields by which two grants are the same grant."""
        return (self.privilege, self.on_kind, self.on_name, self.to_kind, self.to_name, self.future)
