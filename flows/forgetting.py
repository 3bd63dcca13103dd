"""Finds a person's rows (`cxm forget`), or deletes them while holding the lease of every source concerned.

It is not a Prefect flow, because Prefect would store the values as the flow's parameters.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial

from flows import blocks, lease
from flows.batch_ids import make_batch_id
from flows.contract import person as contract
from flows.contract.person import Values
from flows.contract.read import read_source, sources
from flows.ledger import Ledger, RunInfo
from flows.settings import Settings
from flows.steps import forget as step
from flows.steps.forget import PlaceRows
from flows.steps.forget.objects import StoredObject

_TAG = {"step": "forget"}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The rows found, or deleted if `applied`, by place. `request` identifies the call in RAW.FORGOTTEN."""

    source: str
    persons: int
    applied: bool
    request: str
    places: tuple[PlaceRows, ...]

    @property
    def document(self) -> dict[str, object]:
        """The result as a JSON document."""
        return asdict(self)


def forget(
    settings: Settings,
    source_name: str,
    named: Sequence[tuple[str, str]],
    apply: bool,
    on_table: Callable[[str], None] = lambda _: None,
) -> Forgotten:
    """Find the rows of the persons identified by the (column, value) pairs `named`, and delete them if `apply`.

    Raises:
        BusyError: a run works on one of the sources.
        ConfigurationError: a column is not in the source or not personal; CXM_FORGET_KEY is not set; or a step raises it.
        DataError, InfrastructureError: a step raises it; repeating the call completes the work.
    """
    contracts = {name: read_source(name) for name in sources()}
    starts: Values = {}
    for column, value in named:
        starts.setdefault(contract.key_of(contracts[source_name], column), set()).add((value.strip(" "),))
    reach = contract.reach(list(contracts.values()), starts)
    columns = contract.dbt_key_columns(settings.project, reach)
    info = RunInfo(make_batch_id(datetime.now(UTC)))
    secret = settings.forget_hash_key.get_secret_value() if apply else ""
    client = blocks.s3_client(settings)
    with ExitStack() as held:
        ledgers: dict[str, Ledger] = {}
        holders: dict[str, RunInfo] = {}
        for name in reach.sources:
            if apply:
                ledgers[name], holders[name] = held.enter_context(blocks.holding(settings, name, _TAG, info))
            else:
                ledgers[name] = held.enter_context(blocks.ledger(settings, name, _TAG))
        person = step.search(ledgers, client, settings.bucket, reach, starts, on_table)
        dbt = held.enter_context(blocks.snowflake(settings, settings.transformer_role, _TAG))
        step.search_dbt_tables(dbt, settings.database, person, columns)
        count = sum(len(known) for known in starts.values())
        if not apply:
            return Forgotten(source_name, count, False, info.batch_id, person.places)
        hashes = step.hashes(starts, secret)
        by = f"{getpass.getuser()}@{socket.gethostname()}"

        def note(name: str, places: Iterable[PlaceRows]) -> None:
            ledgers[name].forgotten(info.batch_id, by, hashes, step.places_text(places))

        def still(landed: StoredObject) -> None:
            lease.check(ledgers[landed.holder.source.name], holders[landed.holder.source.name])

        if person.dbt_places:
            note(source_name, person.dbt_places)
        done = [*step.forget_in_dbt_tables(dbt, settings.database, person)]
        step.forget_objects(client, settings.bucket, person, still)
        for name in reach.sources:
            fenced = partial(lease.fenced, ledgers[name], holders[name])
            done += step.forget_rows(ledgers[name], person, fenced, partial(note, name))
        return Forgotten(source_name, count, True, info.batch_id, tuple(done))
