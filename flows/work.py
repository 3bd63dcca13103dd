"""A flow's work on a source under its lease, which is taken before the work, renewed during it and always given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from prefect import get_run_logger

from flows import blocks, progress, tasks, watch
from flows.errors import CxmError
from flows.landing import LandResult
from flows.lease import Heartbeat, give_back
from flows.ledger import RunInfo
from flows.run import PipelineError
from flows.settings import Settings
from flows.steps.batch import note_not_sent


@dataclass
class Work:
    """What a flow works on: the run with its lease's token, the batches of dead runs to recover, and what the flow landed."""

    info: RunInfo
    left: tuple[str, ...]
    landed: list[LandResult] = field(default_factory=list)


@contextmanager
def working(source: str, info: RunInfo, where: tasks.Blocks) -> Iterator[Work]:
    """Hold the source's lease around the block. A run that is cancelled or that lost the lease stops its queries and uploads
    first. A batch that got no verdict is noted for the next run to recover.

    Raises:
        BusyError: another run works on this source, or took over.
        InfrastructureError: the lease could not be renewed.
    """
    settings = where.settings
    tag = {"batch": info.batch_id, "flow_run": info.flow_run_id}
    work = Work(info, ())

    def gone(error: CxmError) -> None:
        def goodbye() -> None:
            progress.stop()
            if work.info.token:
                with suppress(CxmError), blocks.ledger(settings, source, {**tag, "step": "close"}) as ledger:
                    give_back(ledger, work.info, closed=False)

        watch.end_process(error, goodbye)

    progress.go()
    with watch.Watch(watch.servers(settings), gone):
        work.info, work.left = tasks.take_lease(source, info, where)
        with _held(work, source, settings, tag):
            yield work


@contextmanager
def _held(work: Work, source: str, settings: Settings, tag: dict[str, str]) -> Iterator[None]:
    """Renew the lease during the block. However the block ends, record unchanged files and give the lease back."""

    closed = False
    heartbeat = Heartbeat(
        lambda: blocks.ledger(settings, source, {**tag, "step": "heartbeat"}),
        work.info,
        settings.lease_minutes,
        lambda _: cancel(settings),
    )
    try:
        with heartbeat:
            try:
                yield
                closed = True
            except PipelineError as error:
                closed = error.closed
                raise
            except Exception:
                raise
            except BaseException:  # Prefect's termination signal, Ctrl-C
                cancel(settings)
                raise
    except Exception as error:
        if heartbeat.lost:
            raise heartbeat.lost from error
        raise
    finally:
        # If the warehouse does not answer, this is only logged: the lease then expires, or is free once this process has ended.
        try:
            with blocks.ledger(settings, source, {**tag, "step": "close"}, pooled=True) as ledger:
                try:
                    note_not_sent(ledger, work.info, work.landed)
                finally:
                    give_back(ledger, work.info, closed and heartbeat.lost is None)
        except CxmError as error:
            get_run_logger().warning("batch %s was not closed: %s", work.info.batch_id, error)
        finally:
            blocks.close_pool()


def cancel(settings: Settings) -> None:
    """Cancel this process's work: its tasks end at their next progress event, its statements on the warehouse at once."""
    progress.stop()
    blocks.cancel_statements(settings)
