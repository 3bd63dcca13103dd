"""S3 operations: listings, headers, moves, deletes, and S3's errors in words. Uploads are in `upload.py`.

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
# The headers that a complete response has. If a connection breaks within the headers, Python's HTTP client treats those that
# arrived as all of them; in a response without a body nothing else shows that it is truncated.
_REQUIRED = {
    "HeadObject": ("ContentLength", "ETag", "LastModified"),
    "PutObject": ("ETag",),
    "UploadPart": ("ETag",),
}


def retry_truncated_headers(client: S3Client) -> S3Client:
    """Make the client retry, six times at most, when a response was truncated within its headers; returns the client."""
    events: Any = client.meta.events  # Any: the stubs allow handlers no return value, but botocore uses it
    events.register("needs-retry.s3", _ask_again, unique_id="cxm-whole-answers")
    return client


def _ask_again(response: Any, operation: Any, attempts: int, request_dict: Any, **_: Any) -> float | None:
    """Return the seconds to wait before a retry; None if the response is complete, or if it is left to botocore's own retries
    (https://botocore.amazonaws.com/v1/documentation/api/latest/topics/events.html)."""
    if response is None or response[0].status_code != 200 or attempts >= CLIENT_CONFIG["retries"]["total_max_attempts"]:
        return None
    required = _REQUIRED.get(operation.name, ())
    # Only HEAD: botocore asks for a checksum with every GET too, but an object that others wrote need not have one.
    if operation.name == "HeadObject" and "x-amz-checksum-mode" in request_dict["headers"]:
        required = (*required, "ChecksumSHA256")
    return None if all(name in response[1] for name in required) else 0.1 * attempts


def translate_error(error: Exception, what: str) -> Exception:
    """Translate botocore's `error`, which happened during `what`, into one of ours; other exceptions are returned unchanged."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if fix := _FIX_BY_CODE.get(code):
            return ConfigurationError(f"{what}: S3 answered {code}; {fix}")
        if code == "403":  # from HEAD, whose response has no body and so no error code
            return ConfigurationError(
                f"{what}: S3 answered 403: the object is missing or the identity may not read it; `cxm reconcile` lists what is "
                "missing, the policy CXMMedTechLandingS3Access gives the right"
            )
        if code == "BadDigest":
            return InfrastructureError(f"{what}: bytes were damaged on the way (S3 answered {code}); run again")
        return InfrastructureError(f"{what}: S3 answered {status} {code}: {error.response['Error'].get('Message', '')}")
    if isinstance(error, BotoCoreError):
        return InfrastructureError(f"{what}: {error}; check the endpoint and the network, then run again")
    return error


def plain_etag(answered: str) -> str:
    """Remove the quotes of an ETag."""
    return answered.strip('"')


def keys(client: S3Client, bucket: str, prefix: str) -> dict[str, int]:
    """List key → size of every object below `prefix`, without folder markers.

    Raises:
        ConfigurationError, InfrastructureError: as `translate_error`.
    """
    return {key: size for key, (size, _) in stored(client, bucket, prefix).items()}


def etags(client: S3Client, bucket: str, prefix: str) -> dict[str, str]:
    """List key → ETag of every object below `prefix`; listing a thousand keys costs as much as one HEAD.

    Raises:
        ConfigurationError, InfrastructureError: as `translate_error`.
    """
    return {key: etag for key, (_, etag) in stored(client, bucket, prefix).items()}


def header(client: S3Client, bucket: str, key: str) -> tuple[str, ...]:
    """Read the fields of the first line of a CSV object, packed or not. Only the beginning of the object is read.

    Raises:
        DataError: the object does not begin with a line of CSV.
        ConfigurationError, InfrastructureError: as `translate_error`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{key}"
    try:
        body: Any = client.get_object(Bucket=bucket, Key=key)["Body"]
        with closing(body):
            line = unpacked(body, key).readline(_LONGEST_HEADER)
        return tuple(next(csv.reader([line.decode("utf-8-sig")], strict=True)))
    except (ClientError, BotoCoreError) as error:
        raise translate_error(error, where) from error
    except (UnicodeDecodeError, csv.Error, StopIteration, OSError, EOFError) as error:
        raise DataError(f"{where}: expected a CSV file's header in its first line, got none ({error})") from None


def unpacked(body: Any, key: str, buffer_bytes: int = io.DEFAULT_BUFFER_SIZE) -> io.BufferedReader:
    """Return a stream of an object's content from its `body`, unpacked according to its key's suffix."""
    if key.endswith(".zst"):
        import zstandard

        body = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
    elif key.endswith(".gz"):
        body = gzip.GzipFile(fileobj=body)
    return io.BufferedReader(body, buffer_bytes)


def stored(client: S3Client, bucket: str, prefix: str) -> dict[str, tuple[int, str]]:
    """List key → size and ETag of every object below `prefix`, without folder markers.

    Raises:
        ConfigurationError, InfrastructureError: as `translate_error`.
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
        raise translate_error(error, f"s3://{bucket}/{prefix}") from error


def move(client: S3Client, bucket: str, old: str, new: str, etag: str = "") -> str:
    """Copy `old` to `new` on the server if it has the ETag `etag`, check the copy's size and return the copy's ETag.

    The old object stays until `delete`, so repeating the call is safe. Above 5 GiB the copy is made in parts.

    Raises:
        DataError: the copy differs in size, or `old` does not exist or was overwritten.
        ConfigurationError, InfrastructureError: as `translate_error`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{old} → {new}"
    try:
        head = client.head_object(Bucket=bucket, Key=old)
        size = head["ContentLength"]
        if etag and plain_etag(head["ETag"]) != etag:
            raise DataError(overwritten(f"s3://{bucket}/{old}", etag, plain_etag(head["ETag"])))
        client.copy({"Bucket": bucket, "Key": old}, bucket, new)
        copy = client.head_object(Bucket=bucket, Key=new)
    except ClientError as error:
        # Without the right to list the whole bucket, HEAD of a missing key returns 403; LIST of its prefix is allowed
        # (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html).
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404 or (status == 403 and old not in keys(client, bucket, old)):
            raise DataError(f"{where}: no such object; `cxm reconcile` lists what exists where") from error
        raise translate_error(error, where) from error
    except BotoCoreError as error:
        raise translate_error(error, where) from error
    if copy["ContentLength"] != size:
        raise DataError(
            f"{where}: {copy['ContentLength']:,} bytes arrived, expected {size:,}; the old object was kept; run again"
        )
    return plain_etag(copy["ETag"])


def overwritten(where: str, expected: str, got: str) -> str:
    """Return the message for an object that was overwritten after it landed."""
    return (
        f"{where}: somebody wrote over it after it landed: expected ETag {expected}, got {got or 'no object'}; restore that "
        "version (bucket versioning) and `cxm replay` the batch, or send the file again with `cxm run --force`"
    )


def delete(client: S3Client, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects; missing ones are not an error.

    Raises:
        ConfigurationError, InfrastructureError: as `translate_error`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    for key in keys:  # one by one, so that the error names the key
        try:
            client.delete_object(Bucket=bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise translate_error(error, f"s3://{bucket}/{key}") from error
