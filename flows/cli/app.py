"""What every `cxm` command shares: errors with exit codes, `--json`, tables for people, the servers a command needs.

Slow imports (Prefect, Great Expectations, dbt, the connector) are inside the commands, so that `cxm --help` is quick.
"""

from __future__ import annotations

import atexit
import difflib
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from flows.errors import ConfigurationError, CxmError, InfrastructureError
from flows.escape import terminal
from flows.failures import meaning

if TYPE_CHECKING:
    from concurrent.futures import Future

    from rich.console import Console

    from flows.settings import Settings
    from flows.steps.provision import Change, Plan


ALL_SERVICES = ("s3", "warehouse", "prefect", "docs")


class Group(click.Group):
    """A command group that prints a `CxmError` as one message and exits with its code. Others are bugs and show a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        # Python collects garbage once more at exit, over everything imported: half a second after a run. What remains is freed
        # with the process.
        atexit.register(gc.freeze)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:  # the reader of the output has closed the pipe
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except Exception as error:
            known = meaning(error)
            if known is None:
                raise
            fail(known, as_json=bool(ctx.meta.get("json")))


def fail(error: CxmError, as_json: bool) -> NoReturn:
    """Print what went wrong and exit with its code."""
    if as_json:
        click.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False))
    else:
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(str(error), err=True)
    sys.exit(error.exit_code)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--json`: standard output gets one JSON document and nothing else."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.meta["json"] = value
        return value

    return click.option(
        "--json", "as_json", is_flag=True, callback=remember, help="Print one JSON document instead of tables."
    )(command)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="medtech-cxm")
def main() -> None:
    """MedTech-CXM: CSV files → S3 → Snowflake RAW → Great Expectations → dbt, as Prefect flows.

    Exit codes: 0 good, 2 usage or configuration, 3 data quarantined or refused, 4 stale, 5 infrastructure.
    """


def current_settings() -> Settings:
    from pydantic import ValidationError

    from flows import project
    from flows.settings import PROJECT, Settings

    project.check(PROJECT)
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"CXM_{str(e['loc'][0]).upper()}={e.get('input')!r}: {e['msg'].lower()}" for e in error.errors() if e["loc"]
        )
        raise ConfigurationError(problems) from None


def known_source(name: str | None) -> None:
    """Make sure that a source is one of the project's, before servers are started for it.

    Raises:
        ConfigurationError: no source has this name; the message lists the sources, a similar name first.
    """
    from flows.contract.read import sources

    known = sources()
    if name is not None and name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ConfigurationError(
            f"source {name}: no contract data_dictionary/{name}.odcs.yaml; "
            + (f"did you mean {near[0]}? There are {', '.join(known)}" if near else f"name one of {', '.join(known)}")
        )


def quiet_environment() -> None:
    """Turn off telemetry and Prefect's log lines in the terminal: a run has its own output, and the UI has the logs."""
    from flows.settings import TELEMETRY_OFF

    os.environ.update(TELEMETRY_OFF)
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    # Prefect's services would print every event that they could not send to a server that has stopped.
    os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")


@contextmanager
def session(
    settings: Settings,
    console: Console,
    services: Sequence[str] = ALL_SERVICES,
    named_server: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Provide the servers that a command needs: the embedded ones while it runs, or those that the environment names.

    `meanwhile` is called once the other servers run, while Prefect's server, which takes longest to start, still starts.

    With `named_server` the Prefect server is the one that the environment or the user's Prefect profile names, if they name one,
    on every target.
    """
    quiet_environment()
    if named_server and prefect_server():
        services = [service for service in services if service != "prefect"]
    if settings.target != "embedded" or not services:
        meanwhile()
        yield
        return
    from flows.embedded import stack

    with console.status("starting the embedded stack"):
        servers = stack.hold_servers(settings, services, [service for service in services if service != "prefect"])
        servers.__enter__()
    try:
        if "prefect" in services:  # its address is known before it answers, so Prefect can be imported while it starts
            os.environ.update(stack.starting_prefect_environment(settings))
            if "prefect" in sys.modules:
                from prefect.context import refresh_global_settings_context

                refresh_global_settings_context()
        meanwhile()
        if "prefect" in services:
            with console.status("starting the Prefect server"):
                stack.wait(settings, ["prefect"])
        yield
    finally:
        _deliver()
        servers.__exit__(None, None, None)


def prefect_server() -> str | None:
    """Return the URL of the Prefect API in use, from the environment or the user's Prefect profile."""
    from prefect.settings import PREFECT_API_URL

    return cast("str | None", PREFECT_API_URL.value())


def _deliver() -> None:
    """Send the runs' logs and their tasks' states to the server before it stops."""
    for module, worker in (("prefect.logging.handlers", "APILogWorker"), ("prefect.events.worker", "EventsWorker")):
        if loaded := sys.modules.get(module):
            getattr(loaded, worker).drain_all(timeout=10)


def looking(settings: Settings) -> Future[Plan | None]:
    """Start comparing the embedded environment with contracts and settings in a thread, which waits for the warehouse while
    Prefect is imported. The result is None if nothing has changed since the last comparison."""
    from concurrent.futures import ThreadPoolExecutor

    if settings.aws_block or settings.snowflake_block:
        # The comparison would log in with a block, and two threads cannot import Prefect at once: "deadlock detected by
        # _ModuleLock", after which a run continues or crashes (seen 2026-11-28).
        from flows import block_types, pipeline  # noqa: F401

    with_thread = ThreadPoolExecutor(1, "provision plan")
    try:
        return with_thread.submit(_compare, settings)
    finally:
        with_thread.shutdown(wait=False)


def _compare(settings: Settings) -> Plan | None:
    from flows import admin_clients, blocks
    from flows.embedded import provisioned

    admin = admin_clients.administrator(settings)
    if provisioned.is_complete(settings, lambda: blocks.s3_client(admin), lambda: admin_clients.connection(admin)):
        return None
    plan = admin_clients.plan(settings)
    if not plan.todo:
        _remember(settings)
    return plan


def _remember(settings: Settings) -> None:
    from flows import admin_clients
    from flows.embedded import provisioned

    schemas = [source.schema for source in admin_clients.contracts()]
    with admin_clients.connection(admin_clients.administrator(settings)) as connection:
        provisioned.remember(settings, schemas, connection)


def complete(settings: Settings, comparing: Future[Plan | None]) -> None:
    """Create what the embedded environment lacks."""
    plan = comparing.result()
    if plan is not None and plan.todo:
        apply_plan(plan)
        _remember(settings)


def apply_plan(plan: Plan) -> Sequence[Change]:
    """Make the changes of a plan. A flow run is started only if there are some; otherwise none appears in the list of runs."""
    from flows import pipeline

    return run_flow(pipeline.provision) if plan.todo else tuple(item.change for item in plan.items)


def without_collecting(work: Callable[[], object]) -> None:
    """Run `work`, which imports large packages, without garbage collection, and exclude them from later collections."""
    gc.disable()
    try:
        work()
    finally:
        gc.freeze()
        gc.enable()


def run_flow(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and return its result, or raise its error as it was raised."""
    from httpx import HTTPError

    from flows.watch import GOODBYE, Watch, end_process, prefect_api

    try:
        # Covers the time before the run has its lease and after it gave it back; in between the run watches its servers itself.
        with Watch(prefect_api(), lambda error: end_process(error, lambda: None), later=GOODBYE + 2):
            state = flow(**parameters, return_state=True)
        result = state.result(raise_on_failure=False)
        if isinstance(result, BaseException):
            raise result
    except HTTPError as error:  # raised by Prefect's client after many tries: nothing else here uses httpx
        # Prefect's threads would retry for minutes before the process could end.
        what = f"the Prefect server did not answer ({type(error).__name__}); the run ended"
        end_process(InfrastructureError(f"{what}. Look with `cxm status`, then run again"), lambda: None)
    return result


def make_console(as_json: bool) -> Console:
    from rich.console import Console

    # In a pipe or a file a table gets the width that it needs, so that no cell is cut.
    return Console(quiet=as_json, highlight=False, width=None if sys.stdout.isatty() else 10_000)


def show(console: Console, as_json: bool, title: str, rows: Sequence[Mapping[str, Any]], empty: str = "") -> None:
    from rich.table import Table

    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, default=jsonable))
        return
    if not rows:
        console.print(terminal(empty))
        return
    table = Table(title=terminal(title) or None, title_justify="left")
    for name in rows[0]:
        table.add_column(terminal(str(name)))
    for row in rows:
        table.add_row(*(terminal(readable(value)) for value in row.values()))
    console.print(table)


def readable(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, Decimal):
        value = jsonable(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 100_000:
        return f"{value:,}"  # no thousands separators in ports and process ids
    return "" if value is None else str(value)


def plain(value: Any) -> dict[str, Any]:
    document = asdict(value) if is_dataclass(value) and not isinstance(value, type) else dict(value)
    return {k: str(v) if isinstance(v, Path) else v for k, v in document.items()}


def jsonable(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
