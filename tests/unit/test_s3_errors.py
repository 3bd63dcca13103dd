"""Which class of error S3's answers become, and what maintenance does about an object that no longer exists."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from flows.clients import s3
from flows.errors import ConfigurationError, DataError, InfrastructureError


def answered(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "…"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "PutObject",
    )


@pytest.mark.parametrize(
    ("code", "status", "fix"),
    [
        ("ExpiredToken", 400, "log in again"),
        ("InvalidToken", 400, "log in again"),
        ("RequestTimeTooSkewed", 403, "clock"),
        ("AuthorizationHeaderMalformed", 400, "CXM_AWS_REGION"),
        ("AccessDenied", 403, "CXMMedTechLandingS3Access"),
        ("403", 403, "missing or the identity may not read it"),
    ],
)
def test_what_another_try_does_not_cure_is_a_matter_of_configuration(code: str, status: int, fix: str) -> None:
    error = s3.translate_error(answered(code, status), "s3://b/k")

    assert isinstance(error, ConfigurationError)
    assert fix in str(error)


@pytest.mark.parametrize(("code", "status"), [("SlowDown", 503), ("InternalError", 500), ("BadDigest", 400)])
def test_what_another_try_may_cure_is_tried_again(code: str, status: int) -> None:
    assert isinstance(s3.translate_error(answered(code, status), "s3://b/k"), InfrastructureError)


@pytest.fixture
def stubbed() -> Any:
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="s")
    with Stubber(client) as stub:
        stub.add_client_error("head_object", "403", http_status_code=403)
        yield client, stub


def test_an_object_that_is_gone_is_called_gone_under_the_narrow_policy_too(stubbed: Any) -> None:
    """Maintenance continues after a DataError: `flows/steps/retention.py`."""
    client, stub = stubbed
    stub.add_response("list_objects_v2", {"IsTruncated": False}, {"Bucket": "b", "Prefix": "raw/k"})

    with pytest.raises(DataError, match="no such object"):
        s3.move(client, "b", "raw/k", "archive/k")


def test_an_existing_object_that_is_forbidden_is_a_missing_grant(stubbed: Any) -> None:
    client, stub = stubbed
    stub.add_response(
        "list_objects_v2", {"Contents": [{"Key": "raw/k", "Size": 1}]}, {"Bucket": "b", "Prefix": "raw/k"}
    )

    with pytest.raises(ConfigurationError, match="CXMMedTechLandingS3Access"):
        s3.move(client, "b", "raw/k", "archive/k")
