"""One look at a source's place: a set of files that is complete starts a run, one that was loaded is moved away.

Where S3 tells what comes (CXM_INBOX_EVENTS), a look first asks the source's queue and lists the place only if something came,
if a set is on its way, or once an hour: a lost or doubled event costs an hour or a listing. It is deleted after its look.

A look is short and a schedule repeats it; what it has to know of the look before is in a Prefect variable. A look that is killed
between noticing a set and starting its run is made good by the next: the run is asked for by the set's fingerprint, and the
server makes one run of a flow for each such key (`uq_flow_run__flow_id_idempotency_key` in Prefect's database).
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

from flows import blocks, located, shown, tasks
from flows.arrivals import Late, Look, Seen, digest, is_loading, looks
from flows.clients import events
from flows.contract.read import read_source
from flows.errors import ConfigurationError
from flows.generated import source_place
from flows.ledger import Status
from flows.places import DONE, Place
from flows.settings import After, Settings

# Characters that a Prefect variable holds, https://docs.prefect.io/v3/concepts/variables
MOST_TEXT = 5000
LISTED_EVERY = timedelta(hours=1)  # where S3 tells what comes: an event that was lost is made good
TRIES = 3  # runs of a set that ended with their machine
_PUBLISHED: set[Status] = {"validated", "skipped-unchanged"}


@dataclass(frozen=True)
class SetSeen:
    """What a look found of one set: `day` is empty where the source has no days."""

    day: str
    files: int
    status: Literal["started", "waits", "moved", "deleted", "left"]
    told: str = ""
    run: str = ""


@flow(name="inbox", flow_run_name=shown.name_run("inbox-{source}"))
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
    """One look at the place of a source: start `pipeline` once for each set of files that is complete.

    Args:
        source: the contract.
        data: the place: a folder, zip or tar, s3:// or sftp://; by default `data/<source>`.
        settle_seconds: for how long a set's names, sizes and times have to stay the same; looks between count.
        marker: the name of a file that says that a set is whole, such as _SUCCESS; put there last, it spares the settling.
        after: what becomes of files that were published: `left`, moved to `done/<batch>/` in their place, or `delete`d; by
            default CXM_INBOX_AFTER.
        late: a file that comes after its set was loaded `joins` a batch of its own, or `waits` for the others' next files.
        aws_block: the AwsCredentials block to log in with; by default CXM_AWS_BLOCK, or what the settings say.
        snowflake_block: the SnowflakeConnector block to log in with; by default CXM_SNOWFLAKE_BLOCK, or what the settings say.
    """
    settings = tasks.Blocks(aws_block, snowflake_block).settings
    where, after = data or source_place(settings, source), after or settings.inbox_after
    memory = _remembered(source)
    found: list[SetSeen] = []
    mail = _Mail.of(settings, source, where)
    for key, seen in list(memory.items()):
        if not seen.run or not seen.loading or not (ended := _ended(seen.run)):
            continue
        if ended == "crashed" and seen.tries < TRIES:  # with its machine: what it left is cleared up by the next run
            memory[key] = replace(seen, run="", tries=seen.tries + 1)
        elif after != "left":
            found.append(_moved(settings, source, located.place(settings, where), key, seen, after))
            memory[key] = replace(seen, loading="")
        elif late == "joins":
            memory[key] = replace(seen, loading="")
        _remember(source, memory)
    now = datetime.now(UTC)
    if mail and not mail.asks_for_a_look(memory, now):
        mail.end(now)
        return shown.ended(f"{where}: no event of S3, not listed" if not found else _told(where, found), tuple(found))
    place = located.place(settings, where)  # anew: an archive that was moved away is no place any more
    entries = place.entries()
    sets = looks(read_source(source), entries, memory, now, timedelta(seconds=settle_seconds), marker, late)
    there = {look.key for look in sets}
    pending = {key: seen for key, seen in memory.items() if key in there or (seen.loading and after != "left")}
    memory = {**pending, **{look.key: look.seen for look in sets}}
    _remember(source, memory)  # what was noticed, before anything is started
    digests = "".join(digest(entry) for entry in entries if entry.name == marker)
    for number, look in enumerate(look for look in sets if not look.waits):
        run = _started(source, where, look, now + timedelta(seconds=number))
        memory[look.key] = replace(look.seen, run=str(run.id), loading=look.digests + digests)
        _remember(source, memory)
        url = str(url_for("flow-run", obj_id=run.id) or "")
        found.append(SetSeen(look.key, len(look.entries), "started", f"run {run.name}", url))
        get_run_logger().info("%s: %s files are complete: run %s, %s", source, len(look.entries), run.name, url)
        if url:
            create_link_artifact(url, f"run {run.name}", key=f"{source}-inbox-run", description="Started by this look")
    found += [SetSeen(look.key, len(look.entries), "waits", look.waits) for look in sets if look.waits]
    if mail:
        mail.end(now, looked=True)
    return shown.ended(_told(place, found), tuple(found))


@dataclass
class _Mail:
    """What S3 has told of a source's place since the last look."""

    source: str
    queue: events.Queue
    messages: Sequence[events.Message]
    has_come: bool

    @classmethod
    def of(cls, settings: Settings, source: str, where: str) -> _Mail | None:
        """Wait for a message; None where this place is listed at each look."""
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

    def asks_for_a_look(self, memory: Mapping[str, Seen], now: datetime) -> bool:
        """Something came, a set waits for its files or settles, or the last listing is an hour old."""
        last = Variable.get(self._variable, default=None)
        due = not last or now - datetime.fromisoformat(str(last)) >= LISTED_EVERY
        return self.has_come or due or any(not seen.run for seen in memory.values())

    def end(self, now: datetime, looked: bool = False) -> None:
        """The look is done: what caused it goes."""
        if looked:
            Variable.set(self._variable, now.isoformat(), overwrite=True)
        self.queue.forget(self.messages)


def _told(place: Place | str, found: Sequence[SetSeen]) -> str:
    """The look in one line."""
    if not found:
        return f"{place}: no file of the source"
    parts = [
        f"{one.day + ': ' if one.day else ''}{one.files} files {one.status}" * (one.status != "waits")
        + f"{one.day + ': ' if one.day else ''}{one.files} files: {one.told}" * (one.status == "waits")
        for one in found
    ]
    return "; ".join(parts[:3]) + (f"; and {len(parts) - 3} sets more" if len(parts) > 3 else "")


def _started(source: str, where: str, look: Look, at: datetime) -> FlowRun:
    """The one run of this set. Batches are named by the second in which their run was to start, so no two are in one."""
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


def _ended(run: str) -> Literal["", "ended", "crashed"]:
    """Whether a run has ended, and how; one that the server has forgotten has."""
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(UUID(run)).state
        except ObjectNotFound:
            return "ended"
    if state is None or not state.is_final():
        return ""
    return "crashed" if state.is_crashed() else "ended"


def _moved(settings: Settings, source: str, place: Place, key: str, seen: Seen, after: After) -> SetSeen:
    """Move or delete what a run has published. What it has not published stays where it is: who sends a better file puts it
    there."""
    with blocks.ledger(settings, source, {"step": "inbox", "flow_run": seen.run}) as ledger:
        batches = ledger.of_run(seen.run)
    if not batches or any(states - _PUBLISHED for states in batches.values()):
        return SetSeen(key, len(seen.loading) // 8, "left", "its run did not publish them", seen.run)
    files = [entry for entry in place.entries() if is_loading(seen, entry)]
    count = place.dispose(files, f"{DONE}/{max(batches)}" if after == "done" else "")
    told = f"to {DONE}/{max(batches)}" if after == "done" else ""
    get_run_logger().info("%s: %s of %s files %s %s", source, count, len(files), after, told)
    return SetSeen(key, count, "moved" if after == "done" else "deleted", told, seen.run)


def _variable(source: str) -> str:
    return f"cxm_inbox_{source}"


def _remembered(source: str) -> dict[str, Seen]:
    text = Variable.get(_variable(source), default=None)
    return {key: Seen(**seen) for key, seen in json.loads(str(text)).items()} if text else {}


def _remember(source: str, memory: dict[str, Seen]) -> None:
    """Keep what is known of the sets. Where it is too much for a variable, the oldest started ones are forgotten: asked for
    again, the server gives the run that it has."""
    kept = dict(sorted(memory.items()))
    while (
        len(text := json.dumps({k: asdict(seen) for k, seen in kept.items()}, separators=(",", ":"))) > MOST_TEXT - 10
    ):
        oldest = next((key for key, seen in kept.items() if seen.run and not seen.loading), None)
        oldest = oldest if oldest is not None else next((key for key, seen in kept.items() if seen.run), None)
        if oldest is None or len(kept) == 1:
            raise ConfigurationError(
                f"source {source}: its set of files is too large for an inbox to remember (about 500 files); load it with "
                "`cxm run`, or pack the files into one archive"
            )
        del kept[oldest]
    Variable.set(_variable(source), text, overwrite=True)
