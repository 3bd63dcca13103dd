"""What Prefect is told of a run beside its tasks: the state it ends in, events for automations, artifacts for the UI."""

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
from flows.steps.handoff import HandoffResult

R = TypeVar("R")
BAR_SECONDS = 2.0  # a table that lands sooner needs no bar


def ended(message: str, result: R) -> R:
    """The state of a flow run that ended well, with the outcome as its message; whoever calls the flow gets the result."""
    return Completed(message=message, data=result)  # type: ignore[return-value]


def failed(error: CxmError) -> Any:
    """The state of a flow run that failed, with the error's message and no Python class before it; a call raises the error."""
    return Failed(message=str(error), data=error)


def judged_bad(message: str, facts: R) -> R:
    """The state of a task run that found what it was to look for, and judges it a failure; `facts_of` gives the facts."""
    return Failed(message=message, data=facts)  # type: ignore[return-value]


def facts_of(state: State[R]) -> R:
    """What a task found, also where it judged that a failure; an error that it met is raised.

    Raises:
        Exception: the task's own, as it was raised.
    """
    found: Any = state.result(raise_on_failure=False)
    if isinstance(found, BaseException):
        raise found
    return found  # type: ignore[no-any-return]


# What Prefect's form for a run draws the first word of a name from; the server draws both words from coolname's lists.
FORM_WORDS = re.compile(
    "Awesome|Rustic|Small|Gorgeous|Fantastic|Sleek|Intelligent|Unbranded|Refined|Licensed|Generic|Practical|Ergonomic"
    "|Handcrafted|Tasty|Handmade|Incredible"
)


def name_run(template: str | Callable[[], str]) -> Callable[[], str]:
    """For `flow_run_name`: the template filled with the run's parameters, or the name that somebody gave to the run.

    Prefect calls every run something and does not say whether a person chose it, so a drawn name is known by its words.
    """

    def name() -> str:
        given = str(flow_run.name or "")
        if given and not is_drawn(given):
            return given
        return template() if callable(template) else template.format(**flow_run.parameters)

    return name


def is_drawn(name: str) -> bool:
    """Whether Prefect drew this name of a run at random: "nimble-trout", or "Handmade-bear" of the form in its UI."""
    first, dash, second = name.partition("-")
    if not dash or not second.isalpha():
        return False
    return bool(FORM_WORDS.fullmatch(first)) or {first, second} <= _drawn_words()


@cache
def _drawn_words() -> frozenset[str]:
    lists: dict[str, Any] = dict(config)  # the lists of words and the lists of lists that "2", two words, is made of

    def words(key: str) -> Iterator[str]:
        for part in lists[key].get("lists", ()):
            yield from words(part)
        yield from lists[key].get("words", ())

    return frozenset(words("2"))


def expected_start() -> datetime:
    """When the flow run of this process was to start, which a retry does not change; now, outside of one."""
    return flow_run.scheduled_start_time or datetime.now(UTC)


def run_seconds() -> float:
    """How long the flow run of this process has been at work; 0 outside of one."""
    context = FlowRunContext.get()
    return (datetime.now(UTC) - context.start_time).total_seconds() if context else 0.0


def newer_run(parameters: dict[str, Any]) -> str:
    """The name of a run of this flow that began after this one was asked for, had these parameters, and has ended well; empty
    where there is none: what this run is to do is then still to be done."""
    if not flow_run.id:
        return ""
    with get_client(sync_client=True) as client:
        own = client.read_flow_run(UUID(str(flow_run.id)))
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                start_time=FlowRunFilterStartTime(after_=own.created),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED])),
            ),
            flow_filter=FlowFilter(id=FlowFilterId(any_=[own.flow_id])),
            sort=FlowRunSort.START_TIME_DESC,
        )
    same = (run for run in found if all(run.parameters.get(name) == value for name, value in parameters.items()))
    return next((run.name for run in same if run.id != own.id), "")


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
    why = {
        "error": "the last delivery is longer ago than the contract allows (a file that arrived unchanged counts as delivered); "
        "look at what writes the files",
        "never loaded": "a table has no published row while others have: load the source (`cxm run --source "
        f"{source_name}`)",
        "runtime error": "the ledger could not be asked for a table's last delivery: `cxm doctor` says what is missing",
    }
    return f"stale: {names}; " + ". ".join(why[status] for status in dict.fromkeys(s.status for s in handed.stale))


def table_artifact(key: str, rows: Sequence[Any], description: str) -> None:
    """Rows (dataclasses or dicts) as a table in the UI; the key stays from run to run, so that its history builds up."""
    plain = [{name.replace("_", " "): _readable(value) for name, value in _cells(row).items()} for row in rows]
    create_table_artifact(plain, key=_artifact_key(key), description=description)


def _cells(row: Any) -> dict[str, Any]:
    """A row's cells, what a person looks for first."""
    plain: dict[str, Any] = row if isinstance(row, dict) else asdict(row)
    return {**{name: plain[name] for name in ("table", "rows", "status") if name in plain}, **plain}


def _readable(value: Any) -> Any:
    """A value for a cell, which the UI takes for Markdown."""
    if isinstance(value, list | tuple):
        return [_readable(entry) for entry in value]
    if isinstance(value, str):
        return markdown(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else "" if value is None else value


def markdown_artifact(key: str, text: str, description: str) -> None:
    """A page in the UI."""
    create_markdown_artifact(text, key=_artifact_key(key), description=description)


def _artifact_key(text: str) -> str:
    """Artifact keys are lower-case letters, digits and dashes only."""
    return "".join(c if c.isalnum() else "-" for c in text.lower())


class Bar:
    """How far a table's landing is. Every report goes to the terminal; in the Prefect UI a bar shows from the third second on,
    moves at most once a second, and goes when the table has landed, so that what stays on a run's page is its report."""

    def __init__(self, key: str, table: str) -> None:
        self._key, self._table = key, table
        self._since = self._told = time.monotonic()
        self._id: UUID | None = None

    def __call__(self, phase: str, done: int, total: int) -> None:
        progress.publish(progress.Event(phase, self._table, done, total))
        now = time.monotonic()
        if now - self._told < 1.0 or now - self._since < BAR_SECONDS or not total:
            return
        self._told = now
        # One pass checks, one sends: each is half of the work that is shown.
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
