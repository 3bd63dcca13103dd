"""Polls a source's place once: starts a run for each complete set of files, and moves or deletes published ones if asked to.

If S3 sends events (CXM_INBOX_EVENTS), a poll first reads the source's queue and lists the place only if an event came, if a set
is incomplete, or once an hour: a lost event costs an hour, a duplicate one a listing. Events are deleted after the poll.

A poll is short and a schedule repeats it. Its state is in a Prefect variable. If a poll is killed after it noticed a set and
before it started the run, the next one starts it. A poll that is repeated starts no second run, because the set's fingerprint and
the number of crashed runs are in the run's idempotency key, and the server creates one run of a flow per key
(`uq_flow_run__flow_id_idempotency_key` in Prefect's database).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for
from prefect.variables import Variable

from flows import blocks, located, prefect_ui, tasks
from flows.arrivals import Late, Look, Seen, digest, is_loading, looks
from flows.clients import events
from flows.contract.read import read_source
from flows.errors import ConfigurationError
from flows.generated import source_place
from flows.ledger import Status
from flows.places import DONE, Place
from flows.settings import After, Settings

# The most characters that a Prefect variable can hold, https://docs.prefect.io/v3/concepts/variables
MOST_TEXT = 5000
LISTED_EVERY = timedelta(hours=1)  # with S3 events: a listing finds the files whose event was lost
TRIES = 3  # how often a set is run again after its run crashed with its machine
_PUBLISHED: set[Status] = {"validated", "skipped-unchanged"}


@dataclass(frozen=True)
class SetSeen:
    """What a poll did about one set. `day` is empty if the source has no files by day."""

    day: str
    files: int
    status: Literal["started", "waits", "moved", "deleted", "left"]
    summary: str = ""
    run: str = ""


@flow(name="inbox", flow_run_name=prefect_ui.name_run("inbox-{source}"))
def inbox(
    source: str = "olist",
    data: str | None = None,
    settle_seconds: float = 60,
    marker: str = "",
    after: After | None = None,
    late: Late = "joins",
    aws_block: str | None = None,
    snowflake_block: str | None = None,
) -> tuple[SetSeen, ...]:
    """Poll the place of a source once: start `pipeline` for each set of files that is complete.

    Args:
        source: the contract.
        data: the place: a folder, zip or tar, s3:// or sftp://; by default `data/<source>`.
        settle_seconds: for how long a set's names, sizes and times must not change before it is loaded.
        marker: the name of a file that says that a set is complete, such as _SUCCESS. If it is written last, the set is loaded
            at once, without waiting for settle_seconds.
        after: what happens to files once they are published: they are `left`, moved to `done/<batch>/` in their place (`done`),
            or deleted (`delete`); by default CXM_INBOX_AFTER.
        late: a file that comes after its set was loaded `joins` (as its own batch), or `waits` for the others' next files.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    settings = tasks.Blocks(aws_block, snowflake_block).settings
    where, after = data or source_place(settings, source), after or settings.inbox_after
    memory = _recall(source)
    handled: list[SetSeen] = []
    notified = _Notifications.of(settings, source, where)
    for key, seen in list(memory.items()):
        if not seen.run or not seen.loading or not (ended := _final_state(seen.run)):
            continue
        if ended == "crashed" and seen.tries < TRIES:  # its machine died: run the set again, which recovers that batch
            memory[key] = replace(seen, run="", tries=seen.tries + 1)
        elif after != "left":
            handled.append(_dispose(settings, source, located.place(settings, where), key, seen, after))
            memory[key] = replace(seen, loading="")
        elif late == "joins":
            memory[key] = replace(seen, loading="")
        _remember(source, memory)
    now = datetime.now(UTC)
    if notified and not notified.needs_listing(memory, now):
        notified.end(now)
        return prefect_ui.ended(
            f"{where}: no event of S3, not listed" if not handled else _summary(where, handled), tuple(handled)
        )
    place = located.place(settings, where)  # resolved again: an archive may have been moved away above
    entries = place.entries()
    sets = looks(read_source(source), entries, memory, now, timedelta(seconds=settle_seconds), marker, late)
    present = {look.key for look in sets}
    pending = {key: seen for key, seen in memory.items() if key in present or (seen.loading and after != "left")}
    memory = {**pending, **{look.key: look.seen for look in sets}}
    _remember(source, memory)  # before any run is started
    digests = "".join(digest(entry) for entry in entries if entry.name == marker)
    for number, look in enumerate(look for look in sets if not look.waits):
        run = _start_run(source, where, look, now + timedelta(seconds=number))
        memory[look.key] = replace(look.seen, run=str(run.id), loading=look.digests + digests)
        _remember(source, memory)
        url = str(url_for("flow-run", obj_id=run.id) or "")
        handled.append(SetSeen(look.key, len(look.entries), "started", f"run {run.name}", url))
        get_run_logger().info("%s: %s files are complete: run %s, %s", source, len(look.entries), run.name, url)
        if url:
            create_link_artifact(url, f"run {run.name}", key=f"{source}-inbox-run", description="Started by this look")
    handled += [SetSeen(look.key, len(look.entries), "waits", look.waits) for look in sets if look.waits]
    if notified:
        notified.end(now, looked=True)
    return prefect_ui.ended(_summary(place, handled), tuple(handled))


@dataclass
class _Notifications:
    """The S3 events about a source's place since the last poll."""

    source: str
    queue: events.Queue
    messages: Sequence[events.Message]
    has_come: bool

    @classmethod
    def of(cls, settings: Settings, source: str, where: str) -> _Notifications | None:
        """Wait for messages. Returns None if this place has no events and is listed at each poll."""
        if not settings.inbox_events or where != source_place(settings, source):
            return None
        bucket, prefix = settings.inbox_place(source)
        queue = events.Queue(blocks.sqs_client(settings), settings.inbox_queue(source))
        messages = queue.messages()
        if odd := sum(message.odd for message in messages):
            get_run_logger().warning("%s: %s messages are not S3's; the place is listed", queue.name, odd)
        return cls(source, queue, messages, any(message.is_about(bucket, prefix) for message in messages))

    @property
    def _variable(self) -> str:
        return f"{_variable(self.source)}_listed"

    def needs_listing(self, memory: Mapping[str, Seen], now: datetime) -> bool:
        """Return whether an event came, a set's run has not started yet, or the last listing is an hour old."""
        last = Variable.get(self._variable, default=None)
        due = not last or now - datetime.fromisoformat(str(last)) >= LISTED_EVERY
        return self.has_come or due or any(not seen.run for seen in memory.values())

    def end(self, now: datetime, looked: bool = False) -> None:
        """Delete the messages, now that the poll is done; `looked`: the place was listed."""
        if looked:
            Variable.set(self._variable, now.isoformat(), overwrite=True)
        self.queue.forget(self.messages)


def _summary(place: Place | str, seen: Sequence[SetSeen]) -> str:
    """Describe the poll's result in one line."""
    if not seen:
        return f"{place}: no file of the source"
    parts = [
        f"{one.day + ': ' if one.day else ''}{one.files} files {one.status}" * (one.status != "waits")
        + f"{one.day + ': ' if one.day else ''}{one.files} files: {one.summary}" * (one.status == "waits")
        for one in seen
    ]
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} sets more" if len(parts) > 3 else "")


def _start_run(source: str, where: str, look: Look, at: datetime) -> FlowRun:
    """Start the run of this set, or get it if it was started before.

    A batch id is the second of its run's expected start, so each run gets its own second."""
    name = f"pipeline/{source}"
    parameters = {"data": where, **({"day": look.key} if look.key else {})}
    key = "/".join(("inbox", source, look.key, look.seen.fingerprint, str(look.seen.tries)))
    try:
        run = run_deployment(
            name, parameters=parameters, scheduled_time=at, timeout=0, as_subflow=False, idempotency_key=key
        )
    except ObjectNotFound:
        raise ConfigurationError(
            f"deployment {name}: not found on this Prefect server; make it: `prefect --no-prompt deploy --all` (`cxm up` does)"
        ) from None
    assert isinstance(run, FlowRun)
    return run


def _final_state(run: str) -> Literal["", "ended", "crashed"]:
    """Return how a run ended; empty while it has not. A run that the server no longer knows counts as ended."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return "ended"
    if state is None or not state.is_final():
        return ""
    return "crashed" if state.is_crashed() else "ended"


def _dispose(settings: Settings, source: str, place: Place, key: str, seen: Seen, after: After) -> SetSeen:
    """Move or delete the files that a run published. Files that it did not publish stay until a user corrects them."""
    with blocks.ledger(settings, source, {"step": "inbox", "flow_run": seen.run}) as ledger:
        batches = ledger.of_run(seen.run)
    if not batches or any(states - _PUBLISHED for states in batches.values()):
        return SetSeen(key, len(seen.loading) // 8, "left", "its run did not publish them", seen.run)
    files = [entry for entry in place.entries() if is_loading(seen, entry)]
    count = place.dispose(files, f"{DONE}/{max(batches)}" if after == "done" else "")
    destination = f"to {DONE}/{max(batches)}" if after == "done" else ""
    get_run_logger().info("%s: %s of %s files %s %s", source, count, len(files), after, destination)
    return SetSeen(key, count, "moved" if after == "done" else "deleted", destination, seen.run)


def _variable(source: str) -> str:
    return f"cxm_inbox_{source}"


def _recall(source: str) -> dict[str, Seen]:
    text = Variable.get(_variable(source), default=None)
    return {key: Seen(**seen) for key, seen in json.loads(str(text)).items()} if text else {}


def _remember(source: str, memory: dict[str, Seen]) -> None:
    """Store the state of the sets. If it is too long for a variable, the oldest started sets are dropped: starting one of those
    again returns its existing run, because the idempotency key is the same."""
    remaining = dict(sorted(memory.items()))
    while (
        len(text := json.dumps({k: asdict(seen) for k, seen in remaining.items()}, separators=(",", ":")))
        > MOST_TEXT - 10
    ):
        oldest = next((key for key, seen in remaining.items() if seen.run and not seen.loading), None)
        oldest = oldest if oldest is not None else next((key for key, seen in remaining.items() if seen.run), None)
        if oldest is None or len(remaining) == 1:
            raise ConfigurationError(
                f"source {source}: its set of files is too large for an inbox to remember (about 500 files); load it with "
                "`cxm run`, or pack the files into one archive"
            )
        del remaining[oldest]
    Variable.set(_variable(source), text, overwrite=True)
