"""Checks the accounts, keys, grants and versions that a run needs; each failed check comes with a fix.

Checks log in as a run does, not as an administrator. They write only one empty object under `raw/`, and one in each place from
which an inbox moves files; both are deleted at once.
"""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Literal

from flows import admin_clients, blocks, located
from flows.clients.events import Queue
from flows.clients.s3_place import Prefix
from flows.clients.snowflake import run
from flows.contract.sql import ident
from flows.errors import CxmError
from flows.failures import meaning
from flows.places import DONE, Archive, Place
from flows.settings import Settings
from flows.steps.provision import AccountReader, aws, snowflake

LEAST_DISK = 2 * 1024**3  # bytes: room for a warehouse of samples, logs and dbt's artifacts
# Seconds. S3 refuses a request whose clock is off by 15 minutes, Snowflake a JWT that is one minute in the future.
MOST_SKEW = 60.0
PROBE = "raw/cxm-doctor-probe"


@dataclass(frozen=True)
class Finding:
    """The result of one check, and how to fix it if it failed."""

    check: str
    status: Literal["ok", "fail", "skipped"]
    found: str
    fix: str = ""


Check = Callable[[Settings], Iterator[Finding]]


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Run every check; a check that fails to run is a finding too."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings += check(settings)
        except Exception as error:  # a broken check must not hide the others
            findings.append(Finding(name, "fail", *_got_and_fix(error)))
    return tuple(findings)


def _got_and_fix(error: Exception) -> tuple[str, str]:
    """Return the finding and the fix for a check that raised `error`."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, BotoCoreError):
        kind = type(error).__name__
        if any(word in kind for word in ("Credential", "Token", "Profile", "SSO", "Login")):
            return str(
                error
            ), "log in to AWS: `aws sso login`, or set AWS_PROFILE, or name a Prefect block in CXM_AWS_BLOCK"
        return str(error), "look at the network between here and AWS: proxy, certificates, CXM_AWS_REGION"
    if isinstance(error, ClientError):
        return str(error), "`cxm provision --plan` shows what of the bucket and its access is missing"
    if known := meaning(error):
        got, _, fix = str(known).rpartition("; ")
        return (got, fix) if got else (fix, "`cxm provision --plan` shows what is missing")
    return (
        f"{type(error).__name__}: {error}",
        "a check that should not break: report it with the output of `cxm doctor --json`",
    )


def _judge(check: str, good: bool, got: str, fix: str) -> Finding:
    return Finding(check, "ok" if good else "fail", got, "" if good else fix)


def packages(_: Settings) -> Iterator[Finding]:
    """Check that the installed packages have the versions that the project requires."""
    from packaging.requirements import Requirement

    wrong = []
    for text in importlib.metadata.requires("medtech-cxm") or ():
        required = Requirement(text)
        try:
            version = importlib.metadata.version(required.name)
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        if version == "none" or not required.specifier.contains(version, prereleases=True):
            wrong.append(f"{required.name}: got {version}, expected {required.specifier}")
    yield _judge("packages", not wrong, "; ".join(wrong) or "as locked", "rm -rf .venv && make .venv/.ready")


def disk(settings: Settings) -> Iterator[Finding]:
    """Check that the disk has enough space for state, logs and dbt's artifacts."""
    place = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(place).free
    good = free >= LEAST_DISK
    yield _judge("disk", good, f"{free / 1024**3:.1f} GiB free at {place}", "free some, or set CXM_HOME elsewhere")


def bucket(settings: Settings) -> Iterator[Finding]:
    """Check the bucket, its region, the clock, and that the ingestion identity has the permissions that it needs, and no more."""
    from botocore.exceptions import ClientError

    client = blocks.s3_client(settings)
    allowed = partial(_allowed, client, settings.bucket)
    answer = aws.ask(client.list_objects_v2, "bucket", Bucket=settings.bucket, Prefix="raw/", MaxKeys=1) or {}
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    yield Finding("bucket", "ok", f"s3://{settings.bucket}/raw/ answers")
    region = headers.get("x-amz-bucket-region", settings.aws_region)
    good = region == settings.aws_region
    yield _judge("bucket region", good, region, f"set CXM_AWS_REGION={region}; it says {settings.aws_region}")
    if "date" in headers:
        yield _skew("clock against S3", parsedate_to_datetime(headers["date"]))
    needs: dict[str, tuple[str, dict[str, Any]]] = {
        "s3:PutObject": ("put_object", {"Key": PROBE, "Body": b""}),
        "s3:GetObject": ("get_object", {"Key": PROBE}),
        "s3:DeleteObject": ("delete_object", {"Key": PROBE}),
        "s3:ListBucket of archive/": ("list_objects_v2", {"Prefix": "archive/", "MaxKeys": 1}),
    }
    for name, (operation, arguments) in needs.items():
        fix = "`cxm provision --apply`, then name its block in CXM_AWS_BLOCK"
        yield _judge(f"may {name}", allowed(operation, **arguments), "in raw/", fix)
    if settings.target == "embedded":
        yield Finding("may nothing else in AWS", "skipped", "the embedded object store has one identity")
        return
    beside: dict[str, tuple[str, dict[str, Any]]] = {
        "s3:GetBucketPolicy": ("get_bucket_policy", {}),
        "s3:GetObject outside raw/ and archive/": ("get_object", {"Key": "elsewhere/probe"}),
        "s3:ListBucket outside raw/ and archive/": ("list_objects_v2", {"Prefix": "elsewhere/", "MaxKeys": 1}),
    }
    wide = []
    for name, (operation, arguments) in beside.items():
        with suppress(ClientError):  # 404: the identity may read it
            if not allowed(operation, **arguments):
                continue
        wide.append(name)
    fix = "attach CXMMedTechLandingS3Access to the identity and nothing else"
    yield _judge("may nothing else in AWS", not wide, ", ".join(wide) or "refused as it should be", fix)


def _allowed(client: Any, bucket: str, operation: str, **arguments: Any) -> bool:
    """Return whether S3 allows the operation; False if it refuses for lack of permission."""
    from botocore.exceptions import ClientError

    try:
        getattr(client, operation)(Bucket=bucket, **arguments)
        return True
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            return False
        raise


def places(settings: Settings) -> Iterator[Finding]:
    """Check that every remote place can be listed and its first file read; on S3 also that an inbox may move or delete files in
    it, if CXM_INBOX_AFTER requires that."""
    for text in settings.remote_places:
        try:
            place = located.place(settings, text)
            files = [entry for entry in place.entries() if not entry.is_folder]
            for entry in files[:1]:
                with ExitStack() as stack:
                    place.open_raw(entry, "expected a file", stack).file.read(1)
        except CxmError as error:
            yield Finding(f"place {text}", "fail", *_got_and_fix(error))
        else:
            yield Finding(f"place {text}", "ok", f"{len(files)} files, readable")
            yield from _clearing(settings, text, place.where if isinstance(place, Archive) else place)


def _clearing(settings: Settings, text: str, place: Place) -> Iterator[Finding]:
    """Check, with an empty object, that an inbox may move or delete published files in a place on S3."""
    if settings.inbox_after == "left" or not isinstance(place, Prefix):
        return
    key = {"Key": f"{place.prefix}{DONE}/cxm-doctor-probe"}
    tries: dict[str, tuple[str, dict[str, Any]]] = {"s3:DeleteObject": ("delete_object", key)}
    if settings.inbox_after == "done":
        tries = {"s3:PutObject": ("put_object", {**key, "Body": b""}), **tries}
    lacking = [
        name for name, (call, arguments) in tries.items() if not _allowed(place.client, place.bucket, call, **arguments)
    ]
    got = f"lacks {', '.join(lacking)}" if lacking else ", ".join(tries)
    fix = "`cxm provision --apply`; a bucket of another account has a policy of its own"
    yield _judge(f"place {text}: inbox may clear it ({settings.inbox_after})", not lacking, got, fix)


def inbox_queues(settings: Settings) -> Iterator[Finding]:
    """Check that each source's queue can be read, if S3 sends events to `inbox`. Its messages stay in it."""
    if not settings.inbox_events:
        yield Finding("inbox events", "skipped", "CXM_INBOX_EVENTS is off: each look lists the place")
        return
    for source in admin_clients.contracts():
        queue = Queue(blocks.sqs_client(settings), settings.inbox_queue(source.name))
        try:
            settings.inbox_place(source.name)
            queue.messages(wait=0, hidden=0, rounds=1)
        except CxmError as error:
            yield Finding(f"queue {queue.name}", "fail", *_got_and_fix(error))
        else:
            yield Finding(f"queue {queue.name}", "ok", "can be asked")


def identity(settings: Settings) -> Iterator[Finding]:
    """Check that the AWS identity that runs log in with is one of the pipeline's."""
    if settings.target == "embedded":
        yield Finding("AWS identity", "skipped", "the embedded object store is no AWS account")
        return
    arn = (aws.ask(admin_clients.aws_session(settings).client("sts").get_caller_identity, "identity") or {})["Arn"]
    good = "cxm-medtech-" in arn
    yield _judge("AWS identity", good, arn, "runs log in as cxm-medtech-ingestion: set CXM_AWS_BLOCK=cxm")


def login(settings: Settings) -> Iterator[Finding]:
    """Check the Snowflake login, its region against the bucket's, the warehouse, and the clock."""
    credentials = blocks.snowflake_credentials(settings)
    if settings.target != "embedded":
        good = credentials.resolve_private_key() is not None
        yield _judge(
            "key-pair login", good, f"user {credentials.user}", "`cxm keys create`, then `cxm provision --apply`"
        )
    with blocks.snowflake(settings, settings.loader_role, {"step": "doctor"}) as connection:
        region, at = run(connection, "SELECT CURRENT_REGION(), CURRENT_TIMESTAMP()").rows[0]
        expected = f"AWS_{settings.aws_region.upper().replace('-', '_')}"
        same = str(region).rpartition(".")[2] == expected or settings.target == "embedded"
        fix = (
            f"the bucket is in {settings.aws_region}: each load pays egress and waits; set CXM_AWS_REGION and CXM_BUCKET "
            "to a bucket in Snowflake's region, then `cxm provision --apply`"
        )
        yield _judge("Snowflake's region is the bucket's", same, str(region), fix)
        yield _skew("clock against Snowflake", at)
        rows = run(connection, f"SHOW WAREHOUSES LIKE '{ident(settings.warehouse)}'").dicts()
        state = f"{rows[0]['state']}, resumes by itself: {rows[0]['auto_resume']}" if rows else "does not exist"
        good = bool(rows) and str(rows[0]["auto_resume"]).lower() == "true"
        yield _judge("warehouse", good, state, "`cxm provision --apply`")


def _skew(check: str, at: datetime) -> Finding:
    off = abs((datetime.now(UTC) - at).total_seconds())
    return _judge(check, off <= MOST_SKEW, f"{off:.0f} s apart", "set the clock: turn on NTP")


def stages(settings: Settings) -> Iterator[Finding]:
    """Check that each stage points at the prefix where files land, and can be listed through its integration."""
    with blocks.snowflake(settings, settings.loader_role, {"step": "doctor"}) as connection:
        for source in admin_clients.contracts():
            name = f"{ident(settings.database)}.{ident(source.schema)}.{ident(source.stage)}"
            expected = f"s3://{settings.bucket}/raw/{source.name}/"
            rows = run(connection, f"SHOW STAGES LIKE '{source.stage}' IN SCHEMA {settings.database}.RAW").dicts()
            url = str(rows[0]["url"]) if rows else "does not exist"
            yield _judge(f"URL of {name}", url == expected, url, f"expected {expected}: `cxm provision --apply`")
            run(connection, f"LIST @{name}")
            yield Finding(f"LIST @{name}", "ok", "the integration reads the bucket")


def grants(settings: Settings) -> Iterator[Finding]:
    """Check that a run's roles have the grants of `sql/provision/` and no more, besides the transformer's ownership of the
    objects that it created."""
    every = snowflake.statements(settings, admin_clients.contracts(), "-")
    for role in (settings.loader_role, settings.transformer_role):
        on, inside = snowflake.granted_by(every, role)
        with blocks.snowflake(settings, role, {"step": "doctor"}) as connection:
            held = AccountReader(connection, settings).granted(role) or frozenset()
        missing = [f"{p} on {n}" for p, k, n in sorted(on - held)]
        fix = "`cxm provision --apply`"
        yield _judge(f"{role} has what it needs", not missing, ", ".join(missing) or f"{len(held)} grants", fix)
        beyond = [
            f"DATABASE ROLE {name}" if kind == "DATABASE ROLE" else f"{privilege} on {kind} {name}"
            for privilege, kind, name in sorted(held - on)
            if (privilege, kind, name.rpartition(".")[0]) not in inside
            and not (privilege == "OWNERSHIP" and role == settings.transformer_role)
        ]
        fix = "; ".join(f"REVOKE {one} FROM ROLE {role}" for one in beyond)
        yield _judge(f"{role} has nothing more", not beyond, ", ".join(beyond) or "as granted", fix)


def prefect_api(_: Settings) -> Iterator[Finding]:
    """Check that the Prefect API is reachable, and has this client's major and minor version."""
    import prefect
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        yield Finding("Prefect API", "fail", "PREFECT_API_URL is not set", "`cxm up`, or set it to the server's …/api")
        return
    with get_client(sync_client=True) as client:
        version = client.api_version()
    good = re.findall(r"\d+", version)[:2] == re.findall(r"\d+", prefect.__version__)[:2]
    fix = f"server and client should have one version: {prefect.__version__}"
    yield _judge("Prefect API", good, f"{url}: version {version}", fix)


CHECKS: dict[str, Check] = {
    "packages": packages,
    "disk": disk,
    "AWS identity": identity,
    "bucket": bucket,
    "places": places,
    "inbox events": inbox_queues,
    "login": login,
    "stages": stages,
    "grants": grants,
    "Prefect API": prefect_api,
}
