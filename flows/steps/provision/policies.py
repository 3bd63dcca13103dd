"""Renders the IAM and bucket policy documents; tests lint them and check what each identity may do.

Elements: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html, actions and condition keys:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html.

Long because each identity's document is written out in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from flows.places import DONE
from flows.settings import After

RAW = "raw/"
ARCHIVE = "archive/"
DOCS = "docs/"

Document = dict[str, Any]


def policy(*statements: Document) -> Document:
    """Return a policy document with these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def landing(
    bucket: str, places: Sequence[str] = (), after: After = "left", queues: Sequence[str] = (), docs: str = ""
) -> Document:
    """Return CXMMedTechLandingS3Access, which allows only this: list the bucket; get, put and delete objects under `raw/` and
    `archive/`; get and put pages under `docs` (`bucket/prefix/`, by default `docs/` of this bucket); list and get objects in
    `places` (`s3://bucket/prefix`), where a source's files come from, and move or delete them there if an inbox does so
    (`after`). `queues`: ARNs of the SQS queues that report new files.

    The empty prefix lets `aws s3 ls s3://<bucket>/` show the folders.
    """
    return policy(
        {
            "Sid": "ListBucket",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": ["", f"{RAW}*", f"{ARCHIVE}*"]}},
        },
        {
            "Sid": "RWObjectsInLanding",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{RAW}*", f"arn:aws:s3:::{bucket}/{ARCHIVE}*"],
        },
        {
            "Sid": "WritePages",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{docs or f'{bucket}/{DOCS}'}*",
        },
        *_sources(places, after),
        *_receiving(queues),
    )


def _sources(places: Sequence[str], after: After) -> Iterator[Document]:
    """Yield each bucket's statements. A place is a prefix with everything below it, or an archive: the object of that key."""
    prefixes: dict[str, list[str]] = {}
    for place in places:
        scheme, _, rest = place.partition("://")
        bucket, _, prefix = rest.rstrip("/").partition("/")
        if scheme == "s3":
            prefixes.setdefault(bucket, []).append(prefix)
    for number, (bucket, of_bucket) in enumerate(prefixes.items(), 1):
        below = ["*"] if "" in of_bucket else [text for prefix in of_bucket for text in (prefix, f"{prefix}/*")]
        yield {
            "Sid": f"ListSource{number}",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": below}},
        }
        yield {
            "Sid": f"ReadSource{number}",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{text}" for text in below],
        }
        if after != "left":
            yield {
                "Sid": f"ClearSource{number}",
                "Effect": "Allow",
                "Action": ["s3:DeleteObject"],
                "Resource": [f"arn:aws:s3:::{bucket}/{text}" for text in below],
            }
        if after == "done":
            yield {
                "Sid": f"KeepDone{number}",
                "Effect": "Allow",
                "Action": ["s3:PutObject"],
                "Resource": [f"arn:aws:s3:::{bucket}/{text}" for text in _done(of_bucket)],
            }


def _receiving(queues: Sequence[str]) -> Iterator[Document]:
    if queues:
        yield {
            "Sid": "HearOfFiles",
            "Effect": "Allow",
            "Action": ["sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage"],
            "Resource": list(queues),
        }


def from_s3(queue: str, bucket: str, account: str) -> Document:
    """Return the queue policy's only statement: S3 may send messages for this bucket of this account
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/grant-destinations-permissions-to-s3.html).
    """
    return {
        "Sid": "EventsOfTheInbox",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": ["SQS:SendMessage"],
        "Resource": queue,
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:*:*:{bucket}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def _done(prefixes: Sequence[str]) -> list[str]:
    """Return the keys that files are moved to: in a place, in a source's folder below it, or beside an archive."""
    texts: dict[str, None] = {}
    for prefix in prefixes:
        inside, beside = f"{prefix}/" if prefix else "", prefix.rpartition("/")
        texts |= dict.fromkeys((f"{inside}{DONE}/*", f"{inside}*/{DONE}/*"))
        if PurePosixPath(prefix).suffix:
            texts[f"{beside[0]}{beside[1]}{DONE}/*"] = None
    return list(texts)


def snowflake_read(bucket: str) -> Document:
    """Return the policy of the storage integration's role: it may read `raw/` and write nothing
    (https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration#step-1-configure-access-permissions-for-the-s3-bucket).
    """
    return policy(
        {
            "Sid": "LocateBucket",
            "Effect": "Allow",
            "Action": ["s3:GetBucketLocation"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
        {
            "Sid": "ListRaw",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": [f"{RAW}*"]}},
        },
        {
            "Sid": "ReadRaw",
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": f"arn:aws:s3:::{bucket}/{RAW}*",
        },
    )


def tls_only(bucket: str) -> Document:
    """Return our statement in the bucket policy: it denies every request without TLS."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def trust(principal: str) -> Document:
    """Return the ingestion role's trust policy. `principal`: an ARN of this account, or a service such as
    `ecs-tasks.amazonaws.com`."""
    who = {"Service" if principal.endswith(".amazonaws.com") else "AWS": principal}
    return policy({"Sid": "Ingestion", "Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"})


def storage_trust(snowflake_user_arn: str, external_id: str) -> Document:
    """Return the storage role's trust policy: only the IAM user that DESC INTEGRATION names may assume it, with its external id
    (https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration#step-5-grant-the-iam-user-permissions-to-access-bucket-objects).
    """
    return policy(
        {
            "Sid": "SnowflakeStorageIntegration",
            "Effect": "Allow",
            "Principal": {"AWS": snowflake_user_arn},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
        }
    )


READ_BUCKET = [
    "s3:GetBucketLocation",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
]
WRITE_BUCKET = [
    "s3:CreateBucket",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
]
READ_EVENTS, WRITE_EVENTS = ["s3:GetBucketNotification"], ["s3:PutBucketNotification"]
READ_QUEUE, WRITE_QUEUE = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"], ["sqs:CreateQueue", "sqs:SetQueueAttributes"]
READ_POLICY = ["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyVersions"]
READ_USER = [
    "iam:GetLoginProfile",
    "iam:GetUser",
    "iam:ListAccessKeys",
    "iam:ListAttachedUserPolicies",
    "iam:ListUserPolicies",
]
READ_ROLE = ["iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"]


def provision_plan(bucket: str, account: str, watched: str = "") -> Document:
    """Return the rights that `cxm provision --plan` needs in AWS: to read these objects and nothing else. `watched`: the bucket
    of CXM_DATA, if CXM_INBOX_EVENTS is on."""
    return policy(*_reads(bucket, account), *_events(watched, account, "Read", READ_EVENTS, READ_QUEUE))


def provision_apply(bucket: str, account: str, watched: str = "") -> Document:
    """Return the rights that `cxm provision --apply` needs in AWS: the plan's rights, and to create and change these objects; it
    can delete none of them.

    It can attach only policies whose names begin with CXMMedTech, and create policies only under such names.
    """
    ours = [f"arn:aws:iam::{account}:policy/CXMMedTech*"]
    user, role = f"arn:aws:iam::{account}:user/cxm-medtech-*", f"arn:aws:iam::{account}:role/cxm-*"
    return policy(
        *_reads(bucket, account),
        {
            "Sid": "MakeBucket",
            "Effect": "Allow",
            "Action": WRITE_BUCKET,
            "Resource": f"arn:aws:s3:::{bucket}",
        },
        {
            "Sid": "MakeFolders",
            "Effect": "Allow",
            "Action": ["s3:PutObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{RAW}*", f"arn:aws:s3:::{bucket}/{ARCHIVE}*"],
        },
        {
            "Sid": "MakePolicies",
            "Effect": "Allow",
            "Action": ["iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicyVersion"],
            "Resource": ours,
        },
        {
            "Sid": "MakeUser",
            "Effect": "Allow",
            "Action": ["iam:CreateAccessKey", "iam:CreateUser", "iam:DeleteLoginProfile"],
            "Resource": user,
        },
        {
            "Sid": "MakeRoles",
            "Effect": "Allow",
            "Action": ["iam:CreateRole", "iam:UpdateAssumeRolePolicy"],
            "Resource": role,
        },
        {
            "Sid": "AttachOurPoliciesOnly",
            "Effect": "Allow",
            "Action": ["iam:AttachRolePolicy", "iam:AttachUserPolicy"],
            "Resource": [user, role],
            "Condition": {"ArnLike": {"iam:PolicyARN": ours}},
        },
        *_events(watched, account, "Read", READ_EVENTS, READ_QUEUE),
        *_events(watched, account, "Make", WRITE_EVENTS, WRITE_QUEUE),
    )


def _events(bucket: str, account: str, verb: str, of_bucket: list[str], of_queue: list[str]) -> Iterator[Document]:
    if bucket:
        queues = f"arn:aws:sqs:*:{account}:cxm-medtech-inbox-*"
        yield {"Sid": f"{verb}Events", "Effect": "Allow", "Action": of_bucket, "Resource": f"arn:aws:s3:::{bucket}"}
        yield {"Sid": f"{verb}Queues", "Effect": "Allow", "Action": of_queue, "Resource": queues}


def _reads(bucket: str, account: str) -> list[Document]:
    return [
        {"Sid": "ReadBucket", "Effect": "Allow", "Action": READ_BUCKET, "Resource": f"arn:aws:s3:::{bucket}"},
        {
            "Sid": "ReadFolders",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"arn:aws:s3:::{bucket}/{RAW}*", f"arn:aws:s3:::{bucket}/{ARCHIVE}*"],
        },
        {
            "Sid": "ReadPolicies",
            "Effect": "Allow",
            "Action": READ_POLICY,
            "Resource": f"arn:aws:iam::{account}:policy/CXMMedTech*",
        },
        {
            "Sid": "ReadUser",
            "Effect": "Allow",
            "Action": READ_USER,
            "Resource": f"arn:aws:iam::{account}:user/cxm-medtech-*",
        },
        {"Sid": "ReadRoles", "Effect": "Allow", "Action": READ_ROLE, "Resource": f"arn:aws:iam::{account}:role/cxm-*"},
        {"Sid": "WhoAmI", "Effect": "Allow", "Action": ["sts:GetCallerIdentity"], "Resource": "*"},
    ]
