"""What a run reports to Prefect besides its tasks: its final state, events for automations, artifacts for the UI."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from coolname.data import config
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows import progress
from flows.errors import CxmError
from flows.escape import markdown
from flows.steps.dbt import HandoffResult

R = TypeVar("R")
BAR_SECONDS = 2.0  # no progress bar for a table that lands faster


def ended(message: str, result: R) -> R:
    """Return the final state of a successful flow run, with the outcome as its message; a caller of the flow gets `result`."""
    return Completed(message=message, data=result)  # type: ignore[return-value]


def failed(error: CxmError) -> Any:
    """Return the final state of a failed flow run. Its message is the error's, without the Python class before it; a caller of
    the flow gets the error raised."""
    return Failed(message=str(error), data=error)


def judged_bad(message: str, facts: R) -> R:
    """Return the final state of a task that worked but whose `facts` are a failure (a broken rule); `facts_of` returns them."""
    return Failed(message=message, data=facts)  # type: ignore[return-value]


def facts_of(state: State[R]) -> R:
    """Return a task's result, even if it counts as a failure.

    Raises:
        Exception: the exception that the task raised, if it did.
    """
    facts: Any = state.result(raise_on_failure=False)
    if isinstance(facts, BaseException):
        raise facts
    return facts  # type: ignore[no-any-return]


# The first words of random run names in the form of Prefect's UI. Random names of the server have two words of coolname's lists.
FORM_WORDS = re.compile(
    "Awesome|Rustic|Small|Gorgeous|Fantastic|Sleek|Intelligent|Unbranded|Refined|Licensed|Generic|Practical|Ergonomic"
    "|Handcrafted|Tasty|Handmade|Incredible"
)


def name_run(template: str | Callable[[], str]) -> Callable[[], str]:
    """Make a `flow_run_name`: the template filled with the run's parameters, unless a user gave the run a name.

    Prefect names every run and does not record whether a user chose the name, so a random name is recognized by its words.
    """

    def name() -> str:
        given = str(flow_run.name or "")
        if given and not is_drawn(given):
            return given
        return template() if callable(template) else template.format(**flow_run.parameters)

    return name


def is_drawn(name: str) -> bool:
    """Return whether this is a random name of Prefect's: "nimble-trout", or "Handmade-bear" from the form in its UI."""
    first, dash, second = name.partition("-")
    if not dash or not second.isalpha():
        return False
    return bool(FORM_WORDS.fullmatch(first)) or {first, second} <= _drawn_words()


@cache
def _drawn_words() -> frozenset[str]:
    lists: dict[str, Any] = dict(config)  # word lists, and lists of lists; "2" is the one for names of two words

    def words(key: str) -> Iterator[str]:
        for part in lists[key].get("lists", ()):
            yield from words(part)
        yield from lists[key].get("words", ())

    return frozenset(words("2"))


def expected_start() -> datetime:
    """Return the expected start of this process's flow run, which a retry does not change; outside a flow run, now."""
    return flow_run.scheduled_start_time or datetime.now(UTC)


def run_seconds() -> float:
    """Return how long this process's flow run has been running; 0 outside a flow run."""
    context = FlowRunContext.get()
    return (datetime.now(UTC) - context.start_time).total_seconds() if context else 0.0


def newer_run(parameters: dict[str, Any]) -> str:
    """Return the name of a successful run of this flow with these parameters that began after this run was requested; empty if
    none did. Such a run has done this run's work already."""
    if not flow_run.id:
        return ""
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(str(flow_run.id)))
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                start_time=FlowRunFilterStartTime(after_=own.created),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])),
            ),
            flow_filter=FlowFilter(id=FlowFilterId(any_=[own.flow_id])),
            sort=FlowRunSort.START_TIME_DESC,
        )
    same = (run for run in runs if all(run.parameters.get(name) == value for name, value in parameters.items()))
    return next((run.name for run in same if run.id != own.id), "")


def tag_run(tag: str) -> None:
    """Add a tag to the current flow run, which the UI's list of runs shows and filters by."""
    if flow_run.id and tag not in flow_run.tags:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(flow_run.id)), tags=[*flow_run.tags, tag])


def tell(event: str, source_name: str, **facts: Any) -> None:
    """Emit an event of a source for automations: `cxm.batch.validated`, `cxm.source.stale`. Prefect adds the flow run to it."""
    emit_event(
        event,
        resource={"prefect.resource.id": f"cxm.source.{source_name}", "prefect.resource.name": source_name},
        payload=facts,
    )


def tell_stale(source_name: str, handed: HandoffResult, **facts: Any) -> str:
    """Emit the event that a source is stale; returns the message for the error that ends the run."""
    names = ", ".join(f"{s.table} ({s.status})" for s in handed.stale)
    tell("cxm.source.stale", source_name, tables=names, **facts)
    why = {
        "error": "the last delivery is longer ago than the contract allows (a file that arrived unchanged counts as delivered); "
        "look at what writes the files",
        "never loaded": "a table has no published row while others have: load the source (`cxm run --source "
        f"{source_name}`)",
        "runtime error": "the ledger could not be asked for a table's last delivery: `cxm doctor` says what is missing",
    }
    return f"stale: {names}; " + ". ".join(why[status] for status in dict.fromkeys(s.status for s in handed.stale))


def table_artifact(key: str, rows: Sequence[Any], description: str) -> None:
    """Show rows (dataclasses or dicts) as a table in the UI. The key is the same in every run, so that it has a history."""
    plain = [{name.replace("_", " "): _readable(value) for name, value in _cells(row).items()} for row in rows]
    create_table_artifact(plain, key=_artifact_key(key), description=description)


def _cells(row: Any) -> dict[str, Any]:
    """Return a row's cells, the most important ones first: table, rows, status."""
    plain: dict[str, Any] = row if isinstance(row, dict) else asdict(row)
    return {**{name: plain[name] for name in ("table", "rows", "status") if name in plain}, **plain}


def _readable(value: Any) -> Any:
    """Format a value for a cell, escaped because the UI renders cells as Markdown."""
    if isinstance(value, list | tuple):
        return [_readable(entry) for entry in value]
    if isinstance(value, str):
        return markdown(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else value


def markdown_artifact(key: str, text: str, description: str) -> None:
    """Show a Markdown page in the UI."""
    create_markdown_artifact(text, key=_artifact_key(key), description=description)


def _artifact_key(text: str) -> str:
    """Make an artifact key of the text; it may have only lower-case letters, digits and dashes."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())


class Bar:
    """The progress bar of a table's landing. The terminal gets every update. In the Prefect UI a bar appears after BAR_SECONDS,
    moves at most once a second, and is deleted when the table has landed, so that only the report stays on a run's page."""

    def __init__(self, key: str, table: str) -> None:
        self._key, self._table = key, table
        self._since = self._updated = time.monotonic()
        self._id: UUID | None = None

    def __call__(self, phase: str, done: int, total: int) -> None:
        progress.publish(progress.Event(phase, self._table, done, total))
        now = time.monotonic()
        if now - self._updated < 1.0 or now - self._since < BAR_SECONDS or not total:
            return
        self._updated = now
        # One pass checks the file, one sends it: each counts as half.
        half = 50.0 * done / total
        percent = min(half if phase == "check" else 50.0 + half, 100.0)
        if self._id is None:
            made = create_progress_artifact(percent, key=_artifact_key(self._key), description=f"Landing {self._table}")
            self._id = made  # type: ignore[assignment]
        else:
            update_progress_artifact(self._id, percent)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._id:
            with suppress(ObjectNotFound), get_client(sync_client=True) as client:
                client.delete_artifact(self._id)
