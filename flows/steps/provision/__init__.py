"""Contracts, settings and `sql/provision/NN_*.sql` → a plan → bucket, IAM, warehouse, database, roles, stages, RAW tables.

    settings, contracts, SQL files ─┬─ aws.py ───────────┐
                                    ├─ events.py ────────┤
                                    ├─ snowflake.py ─────┤
                                    ├─ service_keys.py ──┼─▶ Plan ──apply──▶ Changes
                                    └─ tables.py ────────┘

Safe to repeat and to interrupt: each run compares anew, makes what is missing and fixes what differs; nothing that holds data is
replaced or dropped. The storage role's trust is set last, because CREATE INTEGRATION returns the user that it must trust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.clients.snowflake import run
from flows.contract.model import Source
from flows.contract.sql import ident
from flows.docs_place import DocsPlace
from flows.errors import ConfigurationError, InfrastructureError
from flows.settings import Settings
from flows.steps.provision import aws, events, service_keys, snowflake, tables
from flows.steps.provision.account import AccountReader
from flows.steps.provision.destroy import check_named, destroy_plan
from flows.steps.provision.plan import ADMINISTRATOR, Action, Call, Change, Item, Plan, changes

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

__all__ = [
    "ADMINISTRATOR", "AccountReader", "Action", "Call", "Change", "Cloud", "Item", "Plan", "apply", "destroy",
    "make_destroy_plan", "make_plan", "provision_warehouse", "warehouse_plan",
]  # fmt: skip

# The placeholder in a plan for values that only CREATE INTEGRATION returns.
UNKNOWN = aws.Trust("<STORAGE_AWS_IAM_USER_ARN of DESC INTEGRATION>", "<STORAGE_AWS_EXTERNAL_ID of DESC INTEGRATION>")

# The account in the storage role's ARN, for a server that has only S3 and no IAM.
NO_ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Cloud:
    """Clients of the AWS account: S3 always, IAM, STS and SQS if the server has them; and where a new access key goes.

    `holds_key(ids)`: whether the store has one of these access key ids; `save_key(id, secret)` stores a new one.
    """

    s3: Any
    iam: Any = None
    sts: Any = None
    sqs: Any = None
    holds_key: Callable[[frozenset[str]], bool] = lambda _: False
    save_key: Callable[[str, str], None] | None = None

    @property
    def clients(self) -> Mapping[str, Any]:
        return {"s3": self.s3, "iam": self.iam, "sqs": self.sqs}

    def names(self, settings: Settings) -> aws.Names:
        """Return the environment's IAM names, in the account of the credentials."""
        return aws.Names.of(settings, aws.account_id(self.sts) if self.sts else NO_ACCOUNT)


def make_plan(cloud: Cloud, connection: SnowflakeConnection, settings: Settings, sources: Sequence[Source]) -> Plan:
    """Compare both accounts with the expected state; reads only.

    Raises:
        ConfigurationError, InfrastructureError: as in `flows.clients`; also a bucket of another account or in another region.
    """
    names = cloud.names(settings)
    places = events.watched(settings, names, [source.name for source in sources])
    guarded = cloud.iam is not None
    docs = DocsPlace.of(settings)
    pages = aws.Pages(f"{docs.bucket}/{docs.prefix}" if docs else "", settings.docs_days)
    names_of_sources = [source.name for source in sources]
    items = [*aws.bucket_items(cloud.s3, settings.bucket, settings.aws_region, guarded, names_of_sources, pages)]
    if cloud.iam:
        items += aws.ingestion_items(
            cloud.iam,
            names,
            settings.bucket,
            settings.ingestion_principal,
            cloud.holds_key,
            settings.remote_places,
            settings.inbox_after,
            [one.arn for one in places],
            pages.place,
        )
        items += events.items(cloud.s3, cloud.sqs, names.account, places)
    account = AccountReader(connection, settings)
    items += _warehouse_items(account, settings, sources, storage_role(names, settings))
    if cloud.iam and settings.storage_role_arn is None:
        items += _storage_items(cloud, names, account)
    return Plan(tuple(items), account.role, account.sees_all)


def storage_role(names: aws.Names, settings: Settings) -> str:
    """Return the ARN of the role that the storage integration assumes: the one in the settings, or the one provisioned here."""
    return settings.storage_role_arn or names.arn("role", names.storage_role)


def _warehouse_items(
    account: AccountReader, settings: Settings, sources: Sequence[Source], storage_role_arn: str
) -> Iterator[Item]:
    yield from snowflake.items(account, snowflake.statements(settings, sources, storage_role_arn))
    yield from service_keys.items(account, settings)
    yield from tables.items(account, settings, sources)


def _storage_items(cloud: Cloud, names: aws.Names, account: AccountReader) -> Iterator[Item]:
    settings = account.settings
    trust = snowflake.integration_trust(account, settings.storage_integration)
    hidden = trust is None and account.find("STORAGE INTEGRATION", settings.storage_integration) is not None
    for item in aws.storage_items(cloud.iam, names, settings.bucket, aws.Trust(*trust) if trust else UNKNOWN):
        if hidden and item.kind == "role" and item.action == "changed":
            item = replace(item, action="hidden", why="whom it trusts: DESC STORAGE INTEGRATION is refused", steps=())
        yield item


def warehouse_plan(connection: SnowflakeConnection, settings: Settings, sources: Sequence[Source]) -> Plan:
    """Compare the warehouse alone with its expected state."""
    names = aws.Names.of(settings, NO_ACCOUNT)
    account = AccountReader(connection, settings)
    items = tuple(_warehouse_items(account, settings, sources, storage_role(names, settings)))
    return Plan(items, account.role, account.sees_all)


def apply(
    plan: Plan,
    cloud: Cloud | None,
    connection: SnowflakeConnection,
    settings: Settings,
    sources: Sequence[Source],
    report: Callable[[Item], None] = lambda _: None,
) -> tuple[Change, ...]:
    """Apply the plan in its order; then set the storage role's trust in the integration, and LIST each stage through it.

    `report` gets each applied item. Returns every item, also the unchanged ones.
    """
    later = next((n for n, item in enumerate(plan.items) if any(_unknown(s) for s in item.steps)), len(plan.items))
    done = _do(plan.items[:later], cloud, connection, report)
    if later < len(plan.items) and cloud:  # CREATE INTEGRATION has returned the user to trust by now
        account = AccountReader(connection, settings)
        known = list(_storage_items(cloud, cloud.names(settings), account))
        shown = {(change.kind, change.name) for change in done}
        done += _do([i for i in known if (i.kind, i.name) not in shown], cloud, connection, report)
    if cloud and cloud.iam and plan.todo:
        for source in sources:
            done.append(_listed(connection, settings, source))
    return tuple(done)


def _unknown(step: Call | str) -> bool:
    return isinstance(step, Call) and any(UNKNOWN.user_arn in str(v) for v in step.arguments.values())


def _do(
    items: Sequence[Item],
    cloud: Cloud | None,
    connection: SnowflakeConnection | None,
    report: Callable[[Item], None],
) -> list[Change]:
    own = role = str(connection.role) if connection else ""
    for item in items:
        if item.steps and item.runs_as != "AWS" and item.runs_as != role and connection:
            role = item.runs_as
            run(connection, f"USE ROLE {ident(role)}")
        for step in item.steps:
            if isinstance(step, Call):
                assert cloud is not None
                _call(step, item, cloud)
            else:
                assert connection is not None
                run(connection, step)
        if item.steps:
            report(item)
    if connection and role != own:
        run(connection, f"USE ROLE {ident(own)}")
    return list(changes(items))


def _call(call: Call, item: Item, cloud: Cloud) -> None:
    """Make one AWS call. A new user or role takes seconds to be known everywhere, so such refusals are retried
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency)."""
    import tenacity
    from botocore.exceptions import BotoCoreError, ClientError

    def fresh(error: BaseException) -> bool:
        details = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
        code = details.get("Code", "")
        if code == "InvalidArgument":  # S3 tests the queue, whose policy may be too new
            return "validate the following destination" in details.get("Message", "")
        return code in ("MalformedPolicyDocument", "NoSuchEntity", "OperationAborted")

    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception(fresh),
        stop=tenacity.stop_after_delay(30),
        wait=tenacity.wait_exponential(min=1, max=8),
        reraise=True,
    )
    try:
        answer = retry(call.run, cloud.clients)
    except (ClientError, BotoCoreError) as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
        if code in ("BucketAlreadyOwnedByYou", "EntityAlreadyExists") and not call.secret:
            return  # an interrupted or concurrent apply has done it
        raise aws.explained(error, f"{item.kind} {item.name}: {call.service}:{call.operation}") from error
    if call.secret:
        if cloud.save_key is None:
            raise ConfigurationError(
                "an access key was made and there is no place to keep it; run `cxm provision --apply`"
            )
        key = answer["AccessKey"]
        try:
            cloud.save_key(key["AccessKeyId"], key["SecretAccessKey"])
        except BaseException:  # delete a key that could not be stored
            cloud.iam.delete_access_key(UserName=item.name, AccessKeyId=key["AccessKeyId"])
            raise


def _listed(connection: SnowflakeConnection, settings: Settings, source: Source) -> Change:
    """LIST the source's stage through the integration; a new trust policy takes up to a minute to take effect."""
    import tenacity

    name = f"{settings.database}.{source.schema}.{source.stage}"
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((ConfigurationError, InfrastructureError)),
        stop=tenacity.stop_after_delay(90),
        wait=tenacity.wait_fixed(5),
        reraise=True,
    )
    own = str(connection.role)
    run(connection, "USE ROLE SYSADMIN")
    retry(run, connection, f"LIST @{name}")
    run(connection, f"USE ROLE {ident(own)}")
    return Change("storage integration verified by LIST", name, "unchanged")


def provision_warehouse(
    connection: SnowflakeConnection, settings: Settings, sources: Sequence[Source]
) -> tuple[Change, ...]:
    """Plan and apply the warehouse alone.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.snowflake.run`.
    """
    return apply(warehouse_plan(connection, settings, sources), None, connection, settings, sources)


def make_destroy_plan(
    cloud: Cloud, connection: SnowflakeConnection, settings: Settings, sources: Sequence[Source] = ()
) -> Plan:
    """Plan the destruction of this environment, with the data that would be lost.

    Raises:
        ConfigurationError: the environment is production.
    """
    account = AccountReader(connection, settings)
    names = cloud.names(settings)
    plan = destroy_plan(cloud.s3, cloud.iam, names, account, settings)
    if not cloud.sqs:
        return plan
    places = events.watched(settings, names, [source.name for source in sources])
    return replace(plan, items=(*events.removals(cloud.s3, cloud.sqs, places), *plan.items))


def destroy(plan: Plan, cloud: Cloud, connection: SnowflakeConnection, named: Sequence[str] = ()) -> tuple[Change, ...]:
    """Apply a destroy plan; a database with rows or a bucket with objects is dropped only if it is `named`.

    Raises:
        DataError: something holds data and was not named; nothing was dropped.
    """
    check_named(plan, named)
    return tuple(_do(plan.todo, cloud, connection, lambda _: None))
