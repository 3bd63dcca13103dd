"""An AWS account in memory, with IAM's decisions switched on: moto, and the two things about conditions that moto leaves out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, urlparse

import boto3
import pytest
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count
from moto.iam import access_control
from moto.iam.access_control import IAMPolicyStatement, PermissionResult

T = TypeVar("T")
ACCOUNT = "123456789012"  # moto's
# Calls whose permission has another name, which moto does not know:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_ACTIONS = {
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:DeletePublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:GetBucketLifecycle": "s3:GetLifecycleConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
}
_prefix: ContextVar[str | None] = ContextVar("prefix", default=None)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto in place of AWS; permissions are checked only within `enforced()`.

    moto treats a condition that is not met as a refusal, where IAM ignores the statement, and it does not know the keys
    s3:prefix, aws:SecureTransport and iam:PolicyARN: both are corrected here
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
    """
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    real = IAMPolicyStatement.is_action_permitted

    def permitted(self: Any, action: str, resource: str = "*", *rest: Any, **more: Any) -> PermissionResult:
        for operator, keys in self._statement.get("Condition", {}).items():
            for key, expected in keys.items():
                if not _met(operator, key, expected):
                    return PermissionResult.NEUTRAL
        without = IAMPolicyStatement({k: v for k, v in self._statement.items() if k != "Condition"})
        return real(without, action, resource, *rest, **more)

    monkeypatch.setattr(IAMPolicyStatement, "is_action_permitted", permitted)
    checked = access_control.IAMRequestBase.check_action_permitted

    def check(self: Any, resource: str) -> None:
        query = parse_qs(urlparse(self._path).query, keep_blank_values=True)
        self._action = _ACTIONS.get(self._action, self._action)
        token = _prefix.set(query.get("prefix", [None])[0])
        try:
            if self._action.startswith("sqs:"):
                resource = _queue(self._body)
            checked(self, _arn(self._data) if self._action.startswith("iam:") else resource)
        finally:
            _prefix.reset(token)

    monkeypatch.setattr(access_control.IAMRequestBase, "check_action_permitted", check)
    with mock_aws():
        yield


def _arn(data: Mapping[str, Any]) -> str:
    """Return the ARN that an IAM call is about: moto asks for `*`."""
    data = {k: v[0] if isinstance(v, list) else v for k, v in data.items()}
    if "UserName" in data:
        return f"arn:aws:iam::{ACCOUNT}:user/{data['UserName']}"
    if "RoleName" in data:
        return f"arn:aws:iam::{ACCOUNT}:role/{data['RoleName']}"
    return str(data.get("PolicyArn") or f"arn:aws:iam::{ACCOUNT}:policy/{data.get('PolicyName')}")


def _queue(body: Any) -> str:
    """Return the ARN of the queue that a call of SQS is about: moto asks for `*`."""
    asked = json.loads(body)
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{asked.get('QueueName') or asked['QueueUrl'].rpartition('/')[2]}"


def _met(operator: str, key: str, expected: Any) -> bool:
    from fnmatch import fnmatchcase

    patterns = expected if isinstance(expected, list) else [expected]
    if key == "s3:prefix":
        result = _prefix.get()
        return operator == "StringLike" and result is not None and any(fnmatchcase(result, p) for p in patterns)
    if key == "aws:SecureTransport":
        return "true" in patterns  # boto3's default endpoints are https
    if key == "iam:PolicyARN":
        return True  # which policy is attached is looked at in the test itself
    raise AssertionError(f"a condition that the tests do not know: {operator} {key}")


def enforced(function: Callable[[], T]) -> T:
    """Run `function()`, with IAM deciding on each of its calls."""
    return cast(T, set_initial_no_auth_action_count(0)(function)())


def login(user: str, document: dict[str, Any] | None = None) -> dict[str, str]:
    """Return boto3's login arguments of a user, created if missing; `document` becomes its inline policy."""
    iam = boto3.client("iam")
    if user not in {u["UserName"] for u in iam.list_users()["Users"]}:
        iam.create_user(UserName=user)
    if document is not None:
        iam.put_user_policy(UserName=user, PolicyName="test", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
