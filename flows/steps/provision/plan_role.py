"""Renders the SQL that creates the reading role of `cxm provision --plan`, for an administrator's worksheet."""

from __future__ import annotations

from flows.contract.sql import template
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.provision.plan import ADMINISTRATOR
from flows.steps.provision.snowflake import pipeline_user, reporter_user


def plan_role_sql(settings: Settings) -> str:
    """Render `sql/plan_role.sql`, which creates the reading role of `cxm provision --plan`.

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
