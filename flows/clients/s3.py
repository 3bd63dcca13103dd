"""S3: bytes → one object, written once and checked by the server on arrival (`upload.py`); buckets, listings, moves.

Functions take a plain boto3 S3 client.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from flows.errors import ConfigurationError, DataError, InfrastructureError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# botocore's own retries with jitter ("standard" mode) cover 500, 503, SlowDown, resets and timeouts.
CLIENT_CONFIG: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 6},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 32,
}

_LONGEST_HEADER = 1024 * 1024
_LOGIN_AGAIN = "log in again: a fresh key in the AwsCredentials block that CXM_AWS_BLOCK names, or `aws sso login`"
_FIX_BY_CODE = {
    "NoSuchBucket": "create the bucket with `cxm provision --apply`, or set CXM_BUCKET",
    "AccessDenied": "grant the identity the policy CXMMedTechLandingS3Access",
    "InvalidAccessKeyId": "set the access key of the AwsCredentials block that CXM_AWS_BLOCK names",
    "SignatureDoesNotMatch": "set the secret key of the AwsCredentials block that CXM_AWS_BLOCK names",
    "PermanentRedirect": "set CXM_AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set CXM_AWS_REGION to the bucket's region",
    "ExpiredToken": _LOGIN_AGAIN,
    "InvalidToken": _LOGIN_AGAIN,
    "TokenRefreshRequired": _LOGIN_AGAIN,
    "RequestTimeTooSkewed": "set this machine's clock: S3 takes requests that are signed within 15 minutes of its own",
    "AccountProblem": "AWS has suspended the account; its owner asks AWS Support",
}
# What a whole answer has. Where a connection ends within the headers, Python's HTTP client takes those that arrived for all of
# them, and an answer without a body shows nothing else.
_WANTED = {
    "HeadObject": ("ContentLength", "ETag", "LastModified"),
    "PutObject": ("ETag",),
    "UploadPart": ("ETag",),
}


def insistent(client: S3Client) -> S3Client:
    """The client, which from here on asks again after an answer that broke off within its headers, six times at most."""
    events: Any = client.meta.events  # its types allow no answer, which the documentation asks for
    events.register("needs-retry.s3", _ask_again, unique_id="cxm-whole-answers")
    return client


def _ask_again(response: Any, operation: Any, attempts: int, request_dict: Any, **_: Any) -> float | None:
    """Seconds to wait before the next try; None where the answer is whole, or botocore's own retries judge it
    (https://botocore.amazonaws.com/v1/documentation/api/latest/topics/events.html)."""
    if response is None or response[0].status_code != 200 or attempts >= CLIENT_CONFIG["retries"]["total_max_attempts"]:
        return None
    wanted = _WANTED.get(operation.name, ())
    # botocore asks for a checksum with every GET as well; an object of somebody else need have none.
    if operation.name == "HeadObject" and "x-amz-checksum-mode" in request_dict["headers"]:
        wanted = (*wanted, "ChecksumSHA256")
    return None if all(name in response[1] for name in wanted) else 0.1 * attempts


def explain(error: Exception, what: str) -> Exception:
    """The error of ours that `error` (botocore's) means while doing `what`; anything else comes back as it is."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if fix := _FIX_BY_CODE.get(code):
            return ConfigurationError(f"{what}: S3 answered {code}; {fix}")
        if code == "403":  # to HEAD, whose answer has no body and so no code but its status
            return ConfigurationError(
                f"{what}: S3 answered 403: the object is missing or the identity may not read it; `cxm reconcile` tells what is "
                "missing, the policy CXMMedTechLandingS3Access gives the right"
            )
        if code == "BadDigest":
            return InfrastructureError(f"{what}: bytes were damaged on the way (S3 answered {code}); run again")
        return InfrastructureError(f"{what}: S3 answered {status} {code}: {error.response['Error'].get('Message', '')}")
    if isinstance(error, BotoCoreError):
        return InfrastructureError(f"{what}: {error}; check the endpoint and the network, then run again")
    return error


def plain_etag(answered: str) -> str:
    """An entity tag without the quotes of its header."""
    return answered.strip('"')


def keys(client: S3Client, bucket: str, prefix: str) -> dict[str, int]:
    """Key → bytes of every object below `prefix`, folder markers left out.

    Raises:
        ConfigurationError, InfrastructureError: as `explain`.
    """
    return {key: size for key, (size, _) in stored(client, bucket, prefix).items()}


def etags(client: S3Client, bucket: str, prefix: str) -> dict[str, str]:
    """Key → entity tag of every object below `prefix`; a listing of a thousand keys costs as much as one HEAD.

    Raises:
        ConfigurationError, InfrastructureError: as `explain`.
    """
    return {key: etag for key, (_, etag) in stored(client, bucket, prefix).items()}


def header(client: S3Client, bucket: str, key: str) -> tuple[str, ...]:
    """The fields of the first line of a CSV object, packed or not; of the object no more is read than that takes.

    Raises:
        DataError: the object does not begin with a line of CSV.
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{key}"
    try:
        body: Any = client.get_object(Bucket=bucket, Key=key)["Body"]
        with closing(body):
            if key.endswith(".zst"):
                import zstandard

                body = zstandard.ZstdDecompressor().stream_reader(body)
            elif key.endswith(".gz"):
                body = gzip.GzipFile(fileobj=body)
            line = io.BufferedReader(body).readline(_LONGEST_HEADER)
        return tuple(next(csv.reader([line.decode("utf-8-sig")], strict=True)))
    except (ClientError, BotoCoreError) as error:
        raise explain(error, where) from error
    except (UnicodeDecodeError, csv.Error, StopIteration, OSError, EOFError) as error:
        raise DataError(f"{where}: expected a CSV file's header in its first line, got none ({error})") from None


def stored(client: S3Client, bucket: str, prefix: str) -> dict[str, tuple[int, str]]:
    """Key → bytes and entity tag of every object below `prefix`, folder markers left out.

    Raises:
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {
            o["Key"]: (o["Size"], plain_etag(o.get("ETag", "")))
            for page in pages
            for o in page.get("Contents", [])
            if not o["Key"].endswith("/")
        }
    except (ClientError, BotoCoreError) as error:
        raise explain(error, f"s3://{bucket}/{prefix}") from error


def move(client: S3Client, bucket: str, old: str, new: str, etag: str = "") -> str:
    """Copy `old`, if it has the entity tag `etag`, to `new` on the server, check that it arrived whole and return the copy's tag.

    The old object stays until `delete`.

    Over 5 GiB the copy goes in parts. A second try finds its copy there and keeps it.

    Raises:
        DataError: the copy differs in size, or `old` is not there or was overwritten.
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{old} → {new}"
    try:
        found = client.head_object(Bucket=bucket, Key=old)
        size = found["ContentLength"]
        if etag and plain_etag(found["ETag"]) != etag:
            raise DataError(overwritten(f"s3://{bucket}/{old}", etag, plain_etag(found["ETag"])))
        client.copy({"Bucket": bucket, "Key": old}, bucket, new)
        copy = client.head_object(Bucket=bucket, Key=new)
    except ClientError as error:
        # Without the right to list all of the bucket, HEAD of a key that is missing answers 403; LIST of its prefix is allowed
        # (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html).
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404 or (status == 403 and old not in keys(client, bucket, old)):
            raise DataError(f"{where}: no such object; `cxm reconcile` tells what is where") from error
        raise explain(error, where) from error
    except BotoCoreError as error:
        raise explain(error, where) from error
    if copy["ContentLength"] != size:
        raise DataError(
            f"{where}: {copy['ContentLength']:,} bytes arrived, expected {size:,}; the old object was kept; run again"
        )
    return plain_etag(copy["ETag"])


def overwritten(where: str, expected: str, got: str) -> str:
    """What to say of an object that is not the one that landed."""
    return (
        f"{where}: somebody wrote over it after it landed: expected ETag {expected}, got {got or 'no object'}; restore that "
        "version (bucket versioning) and `cxm replay` the batch, or send the file again with `cxm run --force`"
    )


def delete(client: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; those that are gone already are no error.

    Raises:
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for key in keys:  # one by one: the narrow policy grants DeleteObject, and each answer is its own
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise explain(error, f"s3://{bucket}/{key}") from error
