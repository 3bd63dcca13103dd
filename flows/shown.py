"""What Prefect is told of a run beside its tasks: the state it ends in, events for automations, artifacts for the UI."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows import progress
from flows.errors import CxmError
from flows.steps.handoff import HandoffResult

R = TypeVar("R")


def ended(message: str, result: R) -> R:
    """The state of a flow run that ended well, with the outcome as its message; whoever calls the flow gets the result."""
    return Completed(message=message, data=result)  # type: ignore[return-value]


def failed(error: CxmError) -> Any:
    """The state of a flow run that failed, with the error's message and no Python class before it; a call raises the error."""
    return Failed(message=str(error), data=error)


def tag_run(tag: str) -> None:
    """Give the flow run that is at work one tag more, to be seen in the UI's list of runs and to filter by."""
    if flow_run.id and tag not in flow_run.tags:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(flow_run.id)), tags=[*flow_run.tags, tag])


def tell(event: str, source_name: str, **facts: Any) -> None:
    """An event of a source for automations: `cxm.batch.validated`, `cxm.source.stale`; its flow run is related by Prefect."""
    emit_event(
        event,
        resource={"prefect.resource.id": f"cxm.source.{source_name}", "prefect.resource.name": source_name},
        payload=facts,
    )


def tell_stale(source_name: str, handed: HandoffResult, **facts: Any) -> str:
    """Send the event that a source is stale; what to say of it, for the error that ends the run."""
    names = ", ".join(f"{s.table} ({s.status})" for s in handed.stale)
    tell("cxm.source.stale", source_name, tables=names, **facts)
    return (
        f"stale: {names}; the newest rows are older than the contract allows. Files were unchanged or nothing was "
        "delivered: look at what writes them"
    )


def table_artifact(key: str, rows: Sequence[Any], description: str) -> None:
    """Rows (dataclasses or dicts) as a table in the UI; the key stays from run to run, so that its history builds up."""
    plain = [row if isinstance(row, dict) else asdict(row) for row in rows]
    create_table_artifact(plain, key=_artifact_key(key), description=description)


def markdown_artifact(key: str, text: str, description: str) -> None:
    """A page in the UI."""
    create_markdown_artifact(text, key=_artifact_key(key), description=description)


def link_artifact(key: str, url: str, text: str) -> None:
    """A link in the UI."""
    create_link_artifact(url, text, key=_artifact_key(key))


def _artifact_key(text: str) -> str:
    """Artifact keys are lower-case letters, digits and dashes only."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())


class ProgressArtifact:
    """A bar in the Prefect UI, at most one update a second; every report goes to the terminal as well."""

    def __init__(self, key: str, table: str) -> None:
        self._table = table
        self._told = time.monotonic()
        self._id: UUID = create_progress_artifact(0.0, key=_artifact_key(key), description=f"Landing {table}")  # type: ignore[assignment]

    def __call__(self, phase: str, done: int, total: int) -> None:
        progress.publish(progress.Event(phase, self._table, done, total))
        now = time.monotonic()
        if now - self._told >= 1.0 and total:
            self._told = now
            # One pass checks, one sends: each is half of the work that is shown.
            half = 50.0 * done / total
            self._update(half if phase == "check" else 50.0 + half)

    def finish(self) -> None:
        self._update(100.0)

    def _update(self, percent: float) -> None:
        update_progress_artifact(self._id, min(percent, 100.0))
