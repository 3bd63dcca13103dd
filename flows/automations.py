"""Code → Prefect automations: a notification when a run fails, when a source is stale, when a run does not start.

They are told apart by name; applying them again brings them up to date and makes none twice. One that was switched off in
the UI stays off.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from flows.errors import ConfigurationError

# Every deployment of prefect.yaml has the tag; runs from a terminal have none, and tell there how they ended.
TAGGED = ResourceSpecification({"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.cxm"})
RUN_BODY = """{{ flow_run.name }} ({{ flow.name }}/{{ deployment.name }}): {{ flow_run.state.name }}
{{ flow_run.state.message }}
{{ flow_run|ui_url }}"""


@dataclass(frozen=True)
class Applied:
    """One automation, and what became of it."""

    name: str
    action: Literal["created", "updated", "unchanged"]
    enabled: bool


def wanted(block: UUID) -> tuple[AutomationCore, ...]:
    """The three automations, which notify through the block of that id."""

    def automation(name: str, description: str, trigger: EventTrigger, subject: str, body: str) -> AutomationCore:
        notify = SendNotification(block_document_id=block, subject=subject, body=body)
        return AutomationCore(name=name, description=description, trigger=trigger, actions=[notify])

    runs = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})
    ends = {f"prefect.flow-run.{state}" for state in ("Failed", "Crashed", "TimedOut")}
    return (
        automation(
            "cxm: a run failed",
            "Quarantined data, a server that was not reached, a setting that is wrong: the run's message says which.",
            _reactive(ends, runs, TAGGED),
            "MedTech-CXM: {{ flow_run.name }} failed",
            RUN_BODY,
        ),
        automation(
            "cxm: a source is stale",
            "Published rows are older than the source's contract allows; at most one message a day for each source.",
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
            "A scheduled run is late: no worker, or none that is free.",
            _reactive({"prefect.flow-run.Late"}, runs, TAGGED),
            "MedTech-CXM: {{ flow_run.name }} did not start",
            RUN_BODY,
        ),
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


def apply(block: str) -> tuple[Applied, ...]:
    """Make the automations, or bring them up to date; `block` is `<block type>/<name>` of a notification block.

    Raises:
        ConfigurationError: no API is named, or there is no such notification block; the message lists those there are.
    """
    if not PREFECT_API_URL.value():
        raise ConfigurationError("PREFECT_API_URL: not set; automations live on a Prefect server, name its …/api")
    with get_client(sync_client=True) as client:
        return tuple(_apply(client, automation) for automation in wanted(_block_id(client, block)))


def _apply(client: SyncPrefectClient, automation: AutomationCore) -> Applied:
    found = client.read_automations_by_name(automation.name)
    if not found:
        client.create_automation(automation)
        return Applied(automation.name, "created", True)
    automation.enabled = found[0].enabled
    if _told(found[0]) == _told(automation):
        return Applied(automation.name, "unchanged", automation.enabled)
    client.update_automation(found[0].id, automation)
    return Applied(automation.name, "updated", automation.enabled)


def _told(automation: AutomationCore) -> dict[str, Any]:
    """What an automation says, without what the server adds and without the order of sets."""
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    return {
        **automation.model_dump(mode="json", include={"name", "description", "enabled", "actions"}),
        **trigger.model_dump(mode="json", include={"match", "match_related", "posture", "threshold", "within"}),
        "expect": sorted(trigger.expect),
        "for_each": sorted(trigger.for_each),
    }


def _block_id(client: SyncPrefectClient, block: str) -> UUID:
    slug, _, name = block.partition("/")
    try:
        return client.read_block_document_by_name(name, slug).id
    except ObjectNotFound:
        there = [
            f"{d.block_type.slug}/{d.name}"
            for d in client.read_block_documents()
            if d.block_type and d.block_schema and "notify" in d.block_schema.capabilities
        ]
        raise ConfigurationError(
            f"--notify {block}: not found; wanted <block type>/<name> of a notification block, as slack-webhook/ops; there "
            f"are: {', '.join(there) or 'none yet, make one in the UI under Blocks'}"
        ) from None
