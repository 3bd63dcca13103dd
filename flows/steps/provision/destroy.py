"""Plans the destruction of a test environment: first the data that would be lost, then the drops. Refuses production.

Rows and objects are never dropped by default: their database or bucket has to be named.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from flows.contract.sql import ident
from flows.errors import ConfigurationError, DataError
from flows.settings import Settings
from flows.steps.provision import aws, snowflake
from flows.steps.provision.account import AccountReader
from flows.steps.provision.plan import Call, Item, Plan


def destroy_plan(s3: Any, iam: Any, names: aws.Names, account: AccountReader, settings: Settings) -> Plan:
    """Plan the removal of everything in this environment that exists.

    Raises:
        ConfigurationError: the environment is production.
    """
    if settings.env == "prod" and settings.target != "embedded":
        raise ConfigurationError(
            "CXM_ENV: got prod, expected a test environment (CXM_ENV=dev): production is not taken down by a command"
        )
    items = list(_snowflake(account, settings))
    items += _bucket(s3, settings.bucket)
    if iam:
        items += _iam(iam, names)
    return Plan(tuple(items), account.role, account.sees_all)


def check_named(plan: Plan, named: Collection[str]) -> None:
    """Refuse a plan that would drop a database with rows or a bucket with objects that was not named.

    Raises:
        DataError: there is one that was not named; the message lists each with what it holds.
    """
    full = [item for item in plan.todo if item.kind in ("database", "bucket") and item.why and item.name not in named]
    if full:
        lost = "; ".join(f"{item.kind} {item.name} holds {item.why}" for item in full)
        fix = " ".join(f"--drop-with-data {item.name}" for item in full)
        raise DataError(f"{lost}: not dropped; to lose it, say so by name: {fix}")


def _snowflake(account: AccountReader, settings: Settings) -> Iterator[Item]:
    held = ""
    if account.find("DATABASE", settings.database):
        rows = account.rows(f"SHOW TABLES IN DATABASE {ident(settings.database)}")
        # provisioning creates the lease's rows and the masks' key, so they are not data
        rows = [r for r in rows if int(r["rows"] or 0) and r["name"] not in ("LOAD_LEASE", "MASKING_KEY")]
        full = {f"{r['schema_name']}.{r['name']}": int(r["rows"]) for r in rows}
        held = ", ".join(f"{name} {count:,} rows" for name, count in sorted(full.items()))
    drops = (
        ("SYSADMIN", "DATABASE", settings.database, held),
        ("ACCOUNTADMIN", "STORAGE INTEGRATION", settings.storage_integration, ""),
        ("SYSADMIN", "WAREHOUSE", settings.warehouse, ""),
        ("ACCOUNTADMIN", "RESOURCE MONITOR", f"{settings.warehouse}_QUOTA", ""),
        ("USERADMIN", "USER", snowflake.pipeline_user(settings), ""),
        ("USERADMIN", "USER", snowflake.reporter_user(settings), ""),
        ("USERADMIN", "ROLE", settings.loader_role, ""),
        ("USERADMIN", "ROLE", settings.transformer_role, ""),
        ("USERADMIN", "ROLE", settings.reporter_role, ""),
        ("USERADMIN", "ROLE", settings.privacy_role, ""),
    )
    for role, kind, name, why in drops:
        if account.find(kind, name):
            drop = kind.removeprefix("STORAGE ")
            if_exists = "" if kind == "RESOURCE MONITOR" else "IF EXISTS "
            yield Item(role, kind.lower(), name, "removed", why, (f"DROP {drop} {if_exists}{ident(name)}",))


def _bucket(client: Any, bucket: str) -> Iterator[Item]:
    if aws.ask(client.head_bucket, f"bucket {bucket}", "404", "NoSuchBucket", Bucket=bucket) is None:
        return
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    objects = [(o["Key"], o["Size"]) for page in pages for o in page.get("Contents", [])]
    files = [(key, size) for key, size in objects if not key.endswith("/")]
    why = f"{len(files):,} objects, {sum(size for _, size in files):,} bytes" if files else ""
    calls = [Call("s3", "delete_object", {"Bucket": bucket, "Key": key}) for key, _ in objects]
    yield Item("AWS", "bucket", bucket, "removed", why, (*calls, Call("s3", "delete_bucket", {"Bucket": bucket})))


def _iam(iam: Any, names: aws.Names) -> Iterator[Item]:
    landing = names.arn("policy", names.landing_policy)
    storage = names.arn("policy", names.storage_policy)
    if aws.ask(iam.get_user, "user", "NoSuchEntity", UserName=names.user):
        user = {"UserName": names.user}
        keys = (aws.ask(iam.list_access_keys, "user", **user) or {})["AccessKeyMetadata"]
        calls = [Call("iam", "delete_access_key", {**user, "AccessKeyId": k["AccessKeyId"]}) for k in keys]
        calls += [
            Call("iam", "detach_user_policy", {**user, "PolicyArn": arn}) for arn in _attached(iam, "user", names.user)
        ]
        yield Item("AWS", "user", names.user, "removed", "", (*calls, Call("iam", "delete_user", user)))
    for role in (names.ingestion_role, names.storage_role):
        if aws.ask(iam.get_role, "role", "NoSuchEntity", RoleName=role):
            of_role = {"RoleName": role}
            calls = [
                Call("iam", "detach_role_policy", {**of_role, "PolicyArn": arn}) for arn in _attached(iam, "role", role)
            ]
            yield Item("AWS", "role", role, "removed", "", (*calls, Call("iam", "delete_role", of_role)))
    for arn in (landing, storage):
        if aws.ask(iam.get_policy, "policy", "NoSuchEntity", PolicyArn=arn):
            versions = (aws.ask(iam.list_policy_versions, "policy", PolicyArn=arn) or {})["Versions"]
            old = [v["VersionId"] for v in versions if not v["IsDefaultVersion"]]
            calls = [Call("iam", "delete_policy_version", {"PolicyArn": arn, "VersionId": v}) for v in old]
            name = arn.rpartition("/")[2]
            yield Item("AWS", "policy", name, "removed", "", (*calls, Call("iam", "delete_policy", {"PolicyArn": arn})))


def _attached(iam: Any, kind: str, name: str) -> list[str]:
    return sorted(aws.attached(iam, kind, name))
