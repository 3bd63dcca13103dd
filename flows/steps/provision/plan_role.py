"""Settings → the SQL that makes the role which `cxm provision --plan` looks with, for an administrator's worksheet."""

from __future__ import annotations

from flows.contract.sql import template
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.provision.plan import ADMINISTRATOR
from flows.steps.provision.snowflake import pipeline_user, reporter_user


def plan_role_sql(settings: Settings) -> str:
    """`sql/plan_role.sql`, names filled in: what makes the role that `cxm provision --plan` looks with.

    Raises:
        ConfigurationError: no role but the administrator is named.
    """
    if settings.plan_role == ADMINISTRATOR:
        raise ConfigurationError(
            f"CXM_PLAN_ROLE: got {ADMINISTRATOR}, expected the name of a role that only looks: CXM_PLAN_ROLE=CXM_PLANNER"
        )
    return (
        template(
            "plan_role.sql",
            plan_role=settings.plan_role,
            warehouse=settings.warehouse,
            database=settings.database,
            pipeline_user=pipeline_user(settings),
            reporter_user=reporter_user(settings),
        )
        + "\n"
    )
