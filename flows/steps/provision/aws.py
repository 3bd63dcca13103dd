"""Compares an AWS account with the settings: bucket, folders, IAM policies, user and roles, as `Item`s.

Reading uses GET, HEAD and LIST calls only. The only deletions are a console password of the ingestion user and
the oldest of five versions (IAM's limit) of our own policies.

Long because each AWS object is a few lines of read, compare and fix, and there are ten of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.clients import s3
from flows.errors import ConfigurationError, DataError, InfrastructureError
from flows.settings import After, Settings
from flows.steps.provision import policies
from flows.steps.provision.plan import Action, Call, Item

BLOCKED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
ENFORCED = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
ENCRYPTED = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
# Archived batches stay readable at once (a replay reads them) at about a fifth of the price:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/glacier-storage-classes.html#GIR
_LIFECYCLE: tuple[dict[str, Any], ...] = (
    {
        "ID": "cxm-abort-incomplete-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
    },
    {
        "ID": "cxm-archive-transition",
        "Status": "Enabled",
        "Filter": {"Prefix": policies.ARCHIVE},
        "Transitions": [{"Days": 30, "StorageClass": "GLACIER_IR"}],
    },
)


@dataclass(frozen=True, slots=True)
class Pages:
    """Where runs write pages, `bucket/prefix/`, and for how many days they are kept."""

    place: str
    days: int

    def rule(self, bucket: str) -> tuple[dict[str, Any], ...]:
        """Return the lifecycle rule, if the pages are in this bucket; another bucket's rules are its owner's. Without a
        prefix there is no rule, because it would delete landed objects."""
        of, _, prefix = self.place.partition("/")
        if of != bucket or not prefix:
            return ()
        return (
            {
                "ID": "cxm-docs-expiration",
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                "Expiration": {"Days": self.days},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            },
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """The trusted principal from DESC INTEGRATION: Snowflake's IAM user and its external id."""

    user_arn: str
    external_id: str


def ask(call: Callable[..., Any], what: str, *absent: str, **arguments: Any) -> dict[str, Any] | None:
    """Send a read request and return its response; None if AWS answers with one of the errors `absent`.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.s3.translate_error`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer: dict[str, Any] = call(**arguments)
        return answer
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in absent:
            return None
        raise explained(error, what) from error
    except BotoCoreError as error:
        raise explained(error, what) from error


def explained(error: Exception, what: str) -> Exception:
    """Translate an error like `flows.clients.s3.translate_error`, but with the fix for an administrator."""
    response = getattr(error, "response", {})
    code = str(response.get("Error", {}).get("Code", ""))
    if code == "BucketAlreadyExists":
        return ConfigurationError(f"{what}: the name belongs to another account, names are global: set CXM_BUCKET")
    if code in ("AccessDenied", "AccessDeniedException", "403"):
        return ConfigurationError(
            f"{what}: AWS answered {code}: {response['Error'].get('Message', '')}; log in with an identity that has "
            "architecture/iam/provision-plan.json (to plan) or provision-apply.json (to apply)"
        )
    if code in ("ExpiredToken", "InvalidClientTokenId", "ExpiredTokenException"):
        return ConfigurationError(f"{what}: AWS answered {code}; log in again: `aws sso login` or a fresh key")
    translated = s3.translate_error(error, what)
    return translated if isinstance(translated, ConfigurationError | DataError | InfrastructureError) else error


def account_id(sts: Any) -> str:
    """Return the AWS account that the credentials belong to."""
    return str((ask(sts.get_caller_identity, "sts:GetCallerIdentity") or {})["Account"])


def bucket_items(
    client: Any, bucket: str, region: str, guarded: bool, sources: Sequence[str], pages: Pages
) -> Iterator[Item]:
    """Yield the items of the bucket, its protection (on AWS only, not on a plain S3 server), and a folder for each source."""
    what = f"bucket {bucket}"
    try:
        exists = ask(client.head_bucket, what, "404", "NoSuchBucket", Bucket=bucket) is not None
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (or the name belongs to another account: then set CXM_BUCKET)") from error
    if exists:
        actual = (ask(client.get_bucket_location, what, Bucket=bucket) or {}).get("LocationConstraint") or "us-east-1"
        if actual != region:
            raise ConfigurationError(
                f"{what}: got region {actual}, expected {region}; a bucket cannot move: set CXM_AWS_REGION={actual}, or "
                "CXM_BUCKET to a new name"
            )
    make: dict[str, Any] = {"Bucket": bucket}
    if region != "us-east-1":  # the API refuses this one region as a constraint
        make["CreateBucketConfiguration"] = {"LocationConstraint": region}
    yield _item("bucket", bucket, exists, f"does not exist; expected in {region}", Call("s3", "create_bucket", make))

    if guarded:
        yield from _guards(client, bucket, exists, pages)
    for prefix in (*(f"{policies.RAW}{source}/" for source in sources), policies.ARCHIVE):
        here = exists and ask(client.head_object, prefix, "404", "NoSuchKey", Bucket=bucket, Key=prefix) is not None
        call = Call("s3", "put_object", {"Bucket": bucket, "Key": prefix})
        yield _item("prefix", prefix, here, "does not exist", call)


def _guards(client: Any, bucket: str, exists: bool, pages: Pages) -> Iterator[Item]:
    def guard(
        kind: str, get: str, absent: str, judge: Callable[[dict[str, Any]], str], put: str, **expected: Any
    ) -> Item:
        answer = None
        if exists:
            answer = ask(getattr(client, get), f"bucket {bucket}: {kind}", absent, "NoSuchBucket", Bucket=bucket)
        why = judge(answer or {})
        action: Action = "changed" if exists and why else "created" if why else "unchanged"
        return Item("AWS", kind, bucket, action, why, (Call("s3", put, {"Bucket": bucket, **expected}),) if why else ())

    yield guard(
        "public access block",
        "get_public_access_block",
        "NoSuchPublicAccessBlockConfiguration",
        lambda a: _open_doors(a.get("PublicAccessBlockConfiguration", {})),
        "put_public_access_block",
        PublicAccessBlockConfiguration=BLOCKED,
    )
    yield guard(
        "object ownership",
        "get_bucket_ownership_controls",
        "OwnershipControlsNotFoundError",
        lambda a: (
            "" if a.get("OwnershipControls") == ENFORCED else f"got {_ownership(a)}, expected BucketOwnerEnforced"
        ),
        "put_bucket_ownership_controls",
        OwnershipControls=ENFORCED,
    )
    yield guard(
        "default encryption",
        "get_bucket_encryption",
        "ServerSideEncryptionConfigurationNotFoundError",
        lambda a: _unencrypted(a, bucket),
        "put_bucket_encryption",
        ServerSideEncryptionConfiguration=ENCRYPTED,
    )
    yield _bucket_policy(client, bucket, exists)
    yield _lifecycle(client, bucket, exists, (*_LIFECYCLE, *pages.rule(bucket)))


def _unencrypted(answer: Mapping[str, Any], bucket: str) -> str:
    """Return why the bucket is not encrypted as expected; empty if it is. A KMS key is refused: readers and writers would need
    rights on that key, which the policies here do not grant
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html)."""
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    algorithm = default.get("SSEAlgorithm", "")
    if algorithm not in ("", "AES256"):
        key = default.get("KMSMasterKeyID", "aws/s3")
        raise ConfigurationError(
            f"bucket {bucket}: got default encryption {algorithm} with key {key}, expected AES256: the policies of the ingestion "
            "user and of Snowflake's role give no rights on a KMS key, so that each read and write would be refused; set the "
            "bucket's default encryption to AES256 (SSE-S3), or CXM_BUCKET to a new name"
        )
    return "" if algorithm else "got none, expected AES256"


def _open_doors(switches: Mapping[str, bool]) -> str:
    open_ = [name for name in BLOCKED if not switches.get(name)]
    return f"public access is open: {', '.join(open_)} off, expected on" if open_ else ""


def _ownership(answer: Mapping[str, Any]) -> str:
    rules = answer.get("OwnershipControls", {}).get("Rules", [])
    return ", ".join(rule["ObjectOwnership"] for rule in rules) or "none"


def _bucket_policy(client: Any, bucket: str, exists: bool) -> Item:
    """Compare our statement in the bucket's policy; other statements stay as they are."""
    import json

    if client.meta.endpoint_url.startswith(
        "http://"
    ):  # a server on loopback has no TLS: the policy would lock this client out
        return Item("AWS", "bucket policy", bucket, "unchanged", "this endpoint has no TLS to insist on")
    answer = ask(client.get_bucket_policy, "bucket policy", "NoSuchBucketPolicy", Bucket=bucket) if exists else None
    statements = json.loads(answer["Policy"])["Statement"] if answer else []
    expected = policies.tls_only(bucket)
    if expected in statements:
        return Item("AWS", "bucket policy", bucket, "unchanged")
    others = [s for s in statements if s.get("Sid") != expected["Sid"]]
    document = json.dumps({"Version": "2012-10-17", "Statement": [*others, expected]})
    why = "got no TLS-only statement, expected one"
    action: Action = "changed" if exists else "created"
    call = Call("s3", "put_bucket_policy", {"Bucket": bucket, "Policy": document})
    return Item("AWS", "bucket policy", bucket, action, why, (call,))


def _lifecycle(client: Any, bucket: str, exists: bool, expected: Sequence[dict[str, Any]]) -> Item:
    """Compare our lifecycle rules; other rules stay as they are."""
    absent = "NoSuchLifecycleConfiguration"
    answer = ask(client.get_bucket_lifecycle_configuration, "lifecycle", absent, Bucket=bucket) if exists else None
    rules = {rule["ID"]: rule for rule in (answer or {}).get("Rules", [])}
    differ = [rule["ID"] for rule in expected if not _same_rule(rules.get(rule["ID"]), rule)]
    if not differ:
        return Item("AWS", "lifecycle", bucket, "unchanged")
    ours = {rule["ID"] for rule in expected}
    configuration = {"Rules": [*(rule for name, rule in rules.items() if name not in ours), *expected]}
    arguments = {"Bucket": bucket, "LifecycleConfiguration": configuration}
    why = f"rules that are missing or differ: {', '.join(differ)}"
    call = Call("s3", "put_bucket_lifecycle_configuration", arguments)
    return Item("AWS", "lifecycle", bucket, "changed" if exists else "created", why, (call,))


def _same_rule(got: Mapping[str, Any] | None, expected: Mapping[str, Any]) -> bool:
    """Compare a rule with the expected one. Servers add defaults to it and may write the prefix beside the filter."""
    if got is None:
        return False
    rule = dict(got)
    rule["Filter"] = {"Prefix": rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")) or ""}
    return all(rule.get(name) == value for name, value in expected.items())


@dataclass(frozen=True, slots=True)
class Names:
    """The IAM names of one environment."""

    account: str
    suffix: str

    @classmethod
    def of(cls, settings: Settings, account: str) -> Names:
        return cls(account, settings.env_suffix("-"))

    @property
    def landing_policy(self) -> str:
        return f"CXMMedTechLandingS3Access{self.suffix}"

    @property
    def storage_policy(self) -> str:
        return f"CXMMedTechSnowflakeRead{self.suffix}"

    @property
    def user(self) -> str:
        return f"cxm-medtech-ingestion{self.suffix}"

    @property
    def ingestion_role(self) -> str:
        return f"cxm-medtech-ingestion{self.suffix}"

    @property
    def storage_role(self) -> str:
        return f"cxm-snowflake-landing{self.suffix}"

    def arn(self, kind: str, name: str) -> str:
        """Return `arn:aws:iam::<account>:<kind>/<name>`."""
        return f"arn:aws:iam::{self.account}:{kind}/{name}"


def ingestion_items(
    iam: Any,
    names: Names,
    bucket: str,
    principal: str | None,
    holds_key: Callable[[frozenset[str]], bool],
    places: Sequence[str] = (),
    after: After = "left",
    queues: Sequence[str] = (),
    docs: str = "",
) -> Iterator[Item]:
    """Yield the items of the landing policy, the user with its key (none if there is a `principal`), and the role to assume.

    Args:
        principal: an ARN or a service that assumes the role, instead of a user with a key.
        holds_key: whether the Prefect block has one of these access key ids.
        places: other places that source files are read from.
        after: what an inbox does with published files of that place.
        queues: ARNs of the queues that report new files.
        docs: where pages are written, `bucket/prefix/`.
    """
    arn = names.arn("policy", names.landing_policy)
    yield _policy_item(iam, names.landing_policy, arn, policies.landing(bucket, places, after, queues, docs))
    if principal is None:
        yield from _user_items(iam, names.user, arn, holds_key)
    trusted = principal or names.arn("user", names.user)
    yield from _role_items(iam, names.ingestion_role, policies.trust(trusted), arn)


def storage_items(iam: Any, names: Names, bucket: str, trust: Trust) -> Iterator[Item]:
    """Yield the items of the role that the storage integration assumes; it trusts the user and external id in `trust`."""
    arn = names.arn("policy", names.storage_policy)
    yield _policy_item(iam, names.storage_policy, arn, policies.snowflake_read(bucket))
    document = policies.storage_trust(trust.user_arn, trust.external_id)
    yield from _role_items(iam, names.storage_role, document, arn)


def _policy_item(iam: Any, name: str, arn: str, expected: policies.Document) -> Item:
    import json

    text = json.dumps(expected)
    answer = ask(iam.get_policy, f"policy {name}", "NoSuchEntity", PolicyArn=arn)
    if answer is None:
        call = Call("iam", "create_policy", {"PolicyName": name, "PolicyDocument": text})
        return Item("AWS", "policy", name, "created", "does not exist", (call,))
    version = answer["Policy"]["DefaultVersionId"]
    current = (ask(iam.get_policy_version, f"policy {name}", PolicyArn=arn, VersionId=version) or {})["PolicyVersion"]
    document = current["Document"]
    if (json.loads(document) if isinstance(document, str) else document) == expected:
        return Item("AWS", "policy", name, "unchanged")
    calls = [Call("iam", "create_policy_version", {"PolicyArn": arn, "PolicyDocument": text, "SetAsDefault": True})]
    versions = (ask(iam.list_policy_versions, f"policy {name}", PolicyArn=arn) or {})["Versions"]
    if len(versions) >= 5:  # IAM keeps five at most
        oldest = min((v for v in versions if not v["IsDefaultVersion"]), key=lambda v: v["CreateDate"])
        calls.insert(0, Call("iam", "delete_policy_version", {"PolicyArn": arn, "VersionId": oldest["VersionId"]}))
    return Item("AWS", "policy", name, "changed", f"version {version} says something else", tuple(calls))


def _user_items(iam: Any, user: str, policy_arn: str, holds_key: Callable[[frozenset[str]], bool]) -> Iterator[Item]:
    what = f"user {user}"
    exists = ask(iam.get_user, what, "NoSuchEntity", UserName=user) is not None
    yield _item("user", user, exists, "does not exist", Call("iam", "create_user", {"UserName": user}))
    held = exists and attached(iam, "user", user)
    call = Call("iam", "attach_user_policy", {"UserName": user, "PolicyArn": policy_arn})
    yield _attachment("user policy", user, policy_arn, held, call)
    if exists and ask(iam.get_login_profile, what, "NoSuchEntity", UserName=user) is not None:
        call = Call("iam", "delete_login_profile", {"UserName": user})
        yield Item(
            "AWS", "console password", user, "removed", "got one, expected none: a machine does not log in", (call,)
        )
    keys = (ask(iam.list_access_keys, what, UserName=user) or {})["AccessKeyMetadata"] if exists else []
    active = frozenset(k["AccessKeyId"] for k in keys if k["Status"] == "Active")
    if active and holds_key(active):
        yield Item("AWS", "access key", user, "unchanged")
        return
    if len(keys) >= 2:  # IAM's limit
        raise ConfigurationError(
            f"{what}: it has two access keys and the Prefect block has neither; delete the one that nobody uses "
            f"(aws iam delete-access-key --user-name {user} --access-key-id …), then run again"
        )
    call = Call("iam", "create_access_key", {"UserName": user}, secret=True)
    why = "the Prefect block holds none of the user's keys; a new one goes into the block, never to a screen"
    yield Item("AWS", "access key", user, "created", why, (call,))


def _role_items(iam: Any, role: str, trust: policies.Document, policy_arn: str) -> Iterator[Item]:
    import json

    text = json.dumps(trust)
    answer = ask(iam.get_role, f"role {role}", "NoSuchEntity", RoleName=role)
    if answer is None:
        call = Call("iam", "create_role", {"RoleName": role, "AssumeRolePolicyDocument": text})
        yield Item("AWS", "role", role, "created", "does not exist", (call,))
    else:
        document = answer["Role"]["AssumeRolePolicyDocument"]
        same = (json.loads(document) if isinstance(document, str) else document) == trust
        call = Call("iam", "update_assume_role_policy", {"RoleName": role, "PolicyDocument": text})
        why = "" if same else "its trust policy names someone else or no external id"
        yield Item("AWS", "role", role, "unchanged" if same else "changed", why, () if same else (call,))
    held = answer is not None and attached(iam, "role", role)
    call = Call("iam", "attach_role_policy", {"RoleName": role, "PolicyArn": policy_arn})
    yield _attachment("role policy", role, policy_arn, held, call)


def attached(iam: Any, kind: str, name: str) -> frozenset[str]:
    """Return the ARNs of a user's or role's managed policies."""
    read = getattr(iam, f"list_attached_{kind}_policies")
    answer = ask(read, f"{kind} {name}", **{f"{kind.title()}Name": name}) or {}
    return frozenset(p["PolicyArn"] for p in answer["AttachedPolicies"])


def _attachment(kind: str, name: str, arn: str, attached: frozenset[str] | bool, call: Call) -> Item:
    is_attached = isinstance(attached, frozenset) and arn in attached
    return _item(kind, f"{name} ← {arn.rpartition('/')[2]}", is_attached, "not attached", call)


def _item(kind: str, name: str, exists: bool, why: str, *calls: Call) -> Item:
    return Item("AWS", kind, name, "unchanged" if exists else "created", "" if exists else why, () if exists else calls)
