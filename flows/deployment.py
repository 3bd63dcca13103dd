"""Registers with a Prefect API what deployments need: blocks, variables, the work pool, and the deployments.

Every name is `cxm` or begins with it. What exists is updated, so registering may be repeated. The Prefect server encrypts the
secrets in blocks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.variables import Variable
from prefect.workers.process import ProcessWorker

from flows import block_types, blocks, ledger, located
from flows.block_types import AwsCredentials, S3Bucket, SnowflakeConnector
from flows.contract.read import sources
from flows.errors import ConfigurationError, InfrastructureError
from flows.generated import MARKER, source_place
from flows.places import is_remote
from flows.settings import PROJECT, Settings

NAME = "cxm"
INBOX = "flows.inbox.inbox"
PoolType = Literal["process", "docker", "ecs", "kubernetes"]

# Settings without secrets that a run needs wherever it starts: the base job templates under
# architecture/deployment/ read them as {{ prefect.variables.cxm_… }}.
VARIABLES = (
    "target",
    "data",
    "bucket",
    "aws_region",
    "database",
    "warehouse",
    "loader_role",
    "transformer_role",
    "reporter_role",
    "masking",
    "task_runner",
    "sftp_user",
    "sftp_block",
    "sftp_known_hosts",
)


@dataclass(frozen=True)
class Registered:
    """One registered object."""

    kind: str
    name: str
    action: Literal["created", "updated", "unchanged"]


def register(settings: Settings, pool_type: PoolType | None = None) -> tuple[Registered, ...]:
    """Create the blocks, variables and the work pool, or update them from the settings.

    An existing work pool keeps its template, which an operator may have changed, unless it is still Prefect's default.
    `pool_type`: the type of pool that the deployments use from now on; None keeps the current one, at first `process`.

    Raises:
        ConfigurationError: no API is named, or a key that the blocks need is not set.
    """
    if not PREFECT_API_URL.value():
        raise ConfigurationError(
            "PREFECT_API_URL: not set, so there is no Prefect server to register with; set it to the server's …/api"
        )
    return (*_blocks(settings), *_variables(settings), *_pool(pool_type))


def deploy() -> None:
    """Run `prefect --no-prompt deploy --all` in the project.

    Raises:
        InfrastructureError: it failed; the message has the end of its output.
    """
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise InfrastructureError(f"`prefect deploy --all` ended with exit code {done.returncode}:\n{said}")


def hold_back(settings: Settings) -> tuple[str, ...]:
    """Pause the scheduled deployments of each source that has neither files nor a batch, because their runs would fail, and
    resume those that this function paused earlier and that now have files. Returns the paused sources.

    A deployment that a user paused in the UI stays paused.
    """
    waiting: set[str] = set()
    with blocks.snowflake(settings, settings.loader_role, {"step": "up"}) as connection:
        for source in sources():
            files = located.place(settings, source_place(settings, source)).entries()
            if not files and not ledger.batches(connection, settings.database, source, limit=1):
                waiting.add(source)
    waited = set(json.loads(str(Variable.get(f"{NAME}_waiting", default="[]"))))
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            if (
                not deployment.schedules or deployment.entrypoint == INBOX
            ):  # an inbox waits for files, so it is not paused
                continue
            if waiting & set(deployment.tags):
                client.pause_deployment(deployment.id)
            elif waited & set(deployment.tags):
                client.resume_deployment(deployment.id)
    _set(f"{NAME}_waiting", json.dumps(sorted(waiting)))
    return tuple(sorted(waiting))


def _blocks(settings: Settings) -> list[Registered]:
    # Without blocks: the settings may name the very blocks that are written here.
    own = settings.model_copy(update={"aws_block": None, "snowflake_block": None})
    aws = _with_kept_key(block_types.aws_credentials(own))
    snowflake = block_types.snowflake_credentials(blocks.snowflake_credentials(own))
    done = [_save(aws), _save(snowflake)]
    done.append(_save(S3Bucket(bucket_name=settings.bucket, credentials=aws)))
    done.append(
        _save(
            SnowflakeConnector(
                credentials=snowflake, database=settings.database, warehouse=settings.warehouse, schema="RAW"
            )
        )
    )
    return done


def _with_kept_key(aws: AwsCredentials) -> AwsCredentials:
    """Return `aws`; if it has no key, the existing block, in which `cxm provision --apply` may have stored one."""
    if aws.aws_access_key_id is None:
        with suppress(ValueError):
            return AwsCredentials.load(NAME, _sync=True)
    return aws


def _save(block: Any) -> Registered:
    slug = block.get_block_type_slug()
    with get_client(sync_client=True) as client:
        try:
            known = client.read_block_document_by_name(NAME, slug)
        except ObjectNotFound:
            known = None
    if known is None:
        block.save(NAME)
        return Registered(slug, NAME, "created")
    before = known.data
    block.save(NAME, overwrite=True)
    with get_client(sync_client=True) as client:
        after = client.read_block_document_by_name(NAME, slug).data
    return Registered(slug, NAME, "unchanged" if before == after else "updated")


def _variables(settings: Settings) -> list[Registered]:
    done = []
    for name in VARIABLES:
        variable = f"{NAME}_{name}"
        current = Variable.get(variable, default=None) if name == "data" and not settings.may_generate else None
        if current and "data" not in settings.model_fields_set and not _is_stale(str(current), settings):
            # CXM_DATA is not set here: keep the variable, which may be a folder on the worker's machine.
            done.append(Registered("variable", f"{variable} = {current} (CXM_DATA is not set here)", "unchanged"))
            continue
        value = _plain(getattr(settings, name))
        if value is not None:  # a run reads a missing variable as empty, which means not set
            done.append(_set(variable, value))
    return done


def _is_stale(current: str, settings: Settings) -> bool:
    """Return whether the folder in the variable has generated files, which only the embedded target may load, or was in this home
    and no longer exists."""
    if is_remote(current):
        return False
    folder = Path(current)
    made = any((one / MARKER).exists() for one in (folder, *folder.glob("*")))
    return made or (folder.is_relative_to(settings.home) and not folder.is_dir())


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _set(name: str, value: Any) -> Registered:
    before = Variable.get(name, default=None)
    if before == value:
        return Registered("variable", name, "unchanged")
    Variable.set(name, value, overwrite=True)
    return Registered("variable", name, "created" if before is None else "updated")


def _pool(pool_type: PoolType | None) -> list[Registered]:
    chosen = str(Variable.get(f"{NAME}_work_pool", default=None) or f"{NAME}-process")
    name = f"{NAME}-{pool_type}" if pool_type else chosen
    with get_client(sync_client=True) as client:
        made = _make_pool(client, name)
    return [*made, _set(f"{NAME}_work_pool", name)]


def _make_pool(client: SyncPrefectClient, name: str) -> list[Registered]:
    template = PROJECT / "architecture" / "deployment" / f"{name.removeprefix(NAME + '-')}.json"
    if not template.exists():
        return []  # the operator's own pool
    job = json.loads(template.read_text())
    try:
        existing = client.read_work_pool(name)
    except ObjectNotFound:
        pool = WorkPoolCreate(name=name, type=template.stem, description="Runs of MedTech-CXM", base_job_template=job)
        client.create_work_pool(pool)
        return [Registered("work-pool", name, "created")]
    if _is_bare(client, existing):
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=job))
        return [Registered("work-pool", name, "updated")]
    return [Registered("work-pool", name, "unchanged")]


def _is_bare(client: SyncPrefectClient, pool: WorkPool) -> bool:
    """Return whether the pool still has Prefect's default template: a worker created the pool, and nobody has changed it."""
    kinds = [kind for package in client.read_worker_metadata().values() for kind in package.values()]
    defaults = [kind["default_base_job_configuration"] for kind in kinds if kind["type"] == pool.type]
    if pool.type == ProcessWorker.type:
        defaults.append(ProcessWorker.get_default_base_job_template())
    return pool.base_job_template in ({}, *defaults)
