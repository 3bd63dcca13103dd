"""Defines the Prefect automations: notifications when a run fails, a source is stale, or a run does not start or does not end; a
run whose process died is marked as crashed, and started again if CXM_RESTARTS_PER_HOUR is set.

Automations are identified by name, so applying them again updates them. One that was disabled in the UI stays disabled, and
without a notification block an automation keeps the actions that a user gave it in the UI.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, DoNothing, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from flows.errors import ConfigurationError
from flows.settings import Settings

# Every deployment of prefect.yaml has this tag. Runs from a terminal do not: they report their end in the terminal.
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.cxm"})
RUN_BODY = """{{ flow_run.name }} ({{ flow.name }}/{{ deployment.name }}): {{ flow_run.state.name }}
{{ flow_run.state.message }}
{{ flow_run|ui_url }}"""


@dataclass(frozen=True)
class Applied:
    """An automation, and what `apply` did with it."""

    name: str
    action: Literal["created", "updated", "unchanged", "removed"]
    enabled: bool


# A run's process sends a heartbeat every three minutes (PREFECT_FLOWS_HEARTBEAT_FREQUENCY); three missed ones mean that it died.
SILENCE = timedelta(minutes=9)
LONG = timedelta(hours=2)
ENDS = (
    "Completed",
    "Failed",
    "Crashed",
    "Cancelled",
    "Cancelling",
    "TimedOut",
    "Paused",
    "Suspended",
    "AwaitingRetry",
    "Scheduled",
    "AwaitingConcurrencySlot",
)
RESTART = "cxm: a crashed run starts again"
NOBODY = "It notifies nobody yet: choose Edit, then Actions, then Send a notification."


def expected(block: UUID | None, silence: timedelta = SILENCE) -> tuple[AutomationCore, ...]:
    """Return the five automations. Those that notify use the block with the id `block`; without it they do nothing, and only the
    event feed shows that they fired."""

    def automation(name: str, description: str, trigger: EventTrigger, subject: str, body: str) -> AutomationCore:
        if block is None:
            return _automation(name, f"{description} {NOBODY}", trigger, DoNothing())
        notify = SendNotification(block_document_id=block, subject=subject, body=body)
        return _automation(name, description, trigger, notify)

    runs = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
    ends = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}
    return (
        automation(
            "cxm: a run failed",
            "Fires when a deployed run fails. The run's page says why: rows that break a rule, a server that was not reached, "
            "or a setting that is wrong.",
            _reactive(ends, runs, TAGGED),
            "MedTech-CXM: {{ flow_run.name }} failed",
            RUN_BODY,
        ),
        automation(
            "cxm: a source is stale",
            "Fires when the last delivery of a source is longer ago than its contract allows, at most once a day for each. "
            "Its freshness table, under Artifacts, says how old each table is.",
            _reactive(
                {"cxm.source.stale"},
                ResourceSpecification({"prefect.resource.id": "cxm.source.*"}),
                within=timedelta(days=1),
            ),
            "MedTech-CXM: {{ event.resource.name }} is stale",
            "{{ event.payload.tables }}",
        ),
        automation(
            "cxm: a run did not start",
            "Fires when a run is late: its work pool has no worker, or none that is free. Look under Work Pools.",
            _reactive({"prefect.flow-run.Late"}, runs, TAGGED),
            "MedTech-CXM: {{ flow_run.name }} did not start",
            RUN_BODY,
        ),
        automation(
            "cxm: a run does not end",
            f"Fires when a run has been at work for {LONG.total_seconds() / 3600:g} hours. Its log says what it waits for; "
            "Cancel on its page ends it, and the next run clears up what it left.",
            _proactive({"prefect.flow-run.Running"}, set(), runs, LONG),
            "MedTech-CXM: {{ flow_run.name }} does not end",
            RUN_BODY,
        ),
        _automation(
            "cxm: a run died",
            "Marks a run as Crashed whose process has been silent for three heartbeats, or never had one, so that "
            "it does not show as Running for ever and gives its place to the next run. Then 'a run failed' fires too.",
            _proactive(
                {"prefect.flow-run.heartbeat", "prefect.flow-run.Pending"},
                {"prefect.flow-run.heartbeat"},
                runs,
                silence,
            ),
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no sign of life for {silence.total_seconds() / 60:g} minutes: its process was ended, or its machine "
                "was. The next run of the source takes its rows out and starts anew",
            ),
        ),
    )


def restart(per_hour: int, lease: timedelta) -> AutomationCore:
    """Return the automation that starts a crashed run of `pipeline` again with its parameters, after its lease has expired.

    A trigger that fired does not fire again within `within`, and events of that time are dropped
    (https://docs.prefect.io/v3/concepts/event-triggers). So a run that always crashes is not restarted endlessly.
    """
    runs = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
    pipeline = ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": "pipeline"})
    again = RunDeployment(
        source="inferred",
        parameters={
            "__prefect_kind": "json",
            "value": {"__prefect_kind": "jinja", "template": "{{ flow_run.parameters | tojson }}"},
        },
        schedule_after=lease,
    )
    trigger = EventTrigger(
        expect={"prefect.flow-run.Crashed"},
        match=runs,
        match_related=[TAGGED, pipeline],
        for_each={"related:deployment:prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(hours=1) / per_hour,
    )
    description = (
        f"Starts a run of pipeline that crashed again, after the {lease.total_seconds() / 60:g} minutes of its lease and at most "
        f"{per_hour} times an hour for each deployment (CXM_RESTARTS_PER_HOUR). What crashed left is cleared up first."
    )
    return _automation(RESTART, description, trigger, again)


def _automation(name: str, description: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    return AutomationCore(name=name, description=description, trigger=trigger, actions=[action])


def _proactive(after: set[str], expect: set[str], match: ResourceSpecification, within: timedelta) -> EventTrigger:
    """Return a trigger that fires when a run has neither an `expect` event nor an end `within` a time after an `after` event."""
    return EventTrigger(
        after=after,
        expect=expect | {f"prefect.flow-run.{state}" for state in ENDS},
        match=match,
        match_related=TAGGED,
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=within,
    )


def _reactive(
    expect: set[str],
    match: ResourceSpecification,
    related: ResourceSpecification | None = None,
    within: timedelta = timedelta(0),
) -> EventTrigger:
    return EventTrigger(
        expect=expect,
        match=match,
        match_related=related or ResourceSpecification({}),
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
        within=within,
    )


def apply(settings: Settings, block: str | None) -> tuple[Applied, ...]:
    """Create or update the automations. The one that restarts runs exists only if CXM_RESTARTS_PER_HOUR is set.

    `block` is `<block type>/<name>` of a notification block. None: new automations notify nobody, others keep their actions.

    Raises:
        ConfigurationError: PREFECT_API_URL is not set, or the notification block does not exist (the message lists the existing
            ones).
    """
    if not PREFECT_API_URL.value():
        raise ConfigurationError("PREFECT_API_URL: not set; automations live on a Prefect server, name its …/api")
    with get_client(sync_client=True) as client:
        done = [_apply(client, one) for one in expected(_block_id(client, block) if block else None)]
        if settings.restarts_per_hour:
            lease = timedelta(minutes=settings.lease_minutes)
            return (*done, _apply(client, restart(settings.restarts_per_hour, lease)))
        for obsolete in client.read_automations_by_name(RESTART):
            client.delete_automation(obsolete.id)
            done.append(Applied(RESTART, "removed", False))
        return tuple(done)


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> Applied:
    existing = client.read_automations_by_name(automation.name)
    if not existing:
        client.create_automation(automation)
        return Applied(automation.name, "created", True)
    automation.enabled = existing[0].enabled
    if isinstance(automation.actions[0], DoNothing) and not isinstance(existing[0].actions[0], DoNothing):
        automation.actions = existing[0].actions  # a user chose them in the UI
        automation.description = automation.description.removesuffix(f" {NOBODY}")
    if _definition(existing[0]) == _definition(automation):
        return Applied(automation.name, "unchanged", automation.enabled)
    client.update_automation(existing[0].id, automation)
    return Applied(automation.name, "updated", automation.enabled)


def _definition(automation: AutomationCore) -> dict[str, Any]:
    """Return an automation's own fields in a comparable form: without the server's own fields, and with sets in a fixed order."""
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    return {
        **automation.model_dump(mode="json", include={"name", "description", "enabled", "actions"}),
        **trigger.model_dump(mode="json", include={"match", "match_related", "posture", "threshold", "within"}),
        "expect": sorted(trigger.expect),
        "after": sorted(trigger.after),
        "for_each": sorted(trigger.for_each),
    }


def _block_id(client: SyncPrefectClient, block: str) -> UUID:
    slug, _, name = block.partition("/")
    try:
        return client.read_block_document_by_name(name, slug).id
    except ObjectNotFound:
        existing = [
            f"{d.block_type.slug}/{d.name}"
            for d in client.read_block_documents()
            if d.block_type and d.block_schema and "notify" in d.block_schema.capabilities
        ]
        raise ConfigurationError(
            f"--notify {block}: not found; expected <block type>/<name> of a notification block, as slack-webhook/ops; there "
            f"are: {', '.join(existing) or 'none yet, make one in the UI under Blocks'}"
        ) from None
