"""S3: a file on disk → one object, written once and checked by the server on arrival.

Functions take a plain boto3 S3 client; `connect` makes one from settings-like values where no Prefect block does.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from flows.errors import ConfigurationError, DataError, InfrastructureError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# S3's limit for one PUT, https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
MAX_PUT_BYTES = 5 * 1024**3

# botocore's own retries with jitter ("standard" mode) cover 500, 503, SlowDown, resets and timeouts.
CLIENT_CONFIG: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 6},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 32,
}

_FIX_BY_CODE = {
    "NoSuchBucket": "create the bucket with `cxm provision --apply`, or set CXM_BUCKET",
    "AccessDenied": "grant the identity the policy CXMMedTechLandingS3Access",
    "InvalidAccessKeyId": "set the access key of the AwsCredentials block that CXM_AWS_BLOCK names",
    "SignatureDoesNotMatch": "set the secret key of the AwsCredentials block that CXM_AWS_BLOCK names",
    "PermanentRedirect": "set CXM_AWS_REGION to the bucket's region",
}


def explain(error: Exception, what: str) -> Exception:
    """The error of ours that `error` (botocore's) means while doing `what`; anything else comes back as it is."""
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if fix := _FIX_BY_CODE.get(code):
            return ConfigurationError(f"{what}: S3 answered {code}; {fix}")
        if code == "BadDigest":
            return DataError(
                f"{what}: the file changed while it was sent (S3 answered {code}); run again once it is whole"
            )
        return InfrastructureError(f"{what}: S3 answered {status} {code}: {error.response['Error'].get('Message', '')}")
    if isinstance(error, BotoCoreError):
        return InfrastructureError(f"{what}: {error}; check the endpoint and the network, then run again")
    return error


def ensure_bucket(client: S3Client, bucket: str, region: str) -> bool:
    """Make the bucket if it is not there; True if it was made.

    Raises:
        ConfigurationError: the bucket belongs to another account.
        InfrastructureError: S3 did not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.head_bucket(Bucket=bucket)
        return False
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 403:
            raise ConfigurationError(
                f"bucket {bucket}: it exists and is not ours (403); bucket names are global: set CXM_BUCKET"
            ) from error
        if status != 404:
            raise explain(error, f"bucket {bucket}") from error
    except BotoCoreError as error:
        raise explain(error, f"bucket {bucket}") from error
    try:
        if region == "us-east-1":  # the one region that must not be named
            client.create_bucket(Bucket=bucket)
        else:
            client.create_bucket(
                Bucket=bucket,
                CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
            )
    except (ClientError, BotoCoreError) as error:
        raise explain(error, f"bucket {bucket}") from error
    return True


def ensure_prefix(client: S3Client, bucket: str, prefix: str) -> bool:
    """Make the empty object `prefix` (ends in `/`) that shows as a folder in consoles; True if it was made."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.put_object(Bucket=bucket, Key=prefix, Body=b"", IfNoneMatch="*")
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
            return False
        raise explain(error, f"s3://{bucket}/{prefix}") from error
    except BotoCoreError as error:
        raise explain(error, f"s3://{bucket}/{prefix}") from error
    return True


class _Progress:
    """A file that tells how many bytes were read; a rewind (botocore reads a body again to retry) counts back."""

    def __init__(self, file: BinaryIO, report: Callable[[int], None]) -> None:
        self._file, self._report = file, report

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._report(self._file.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def put_once(
    client: S3Client,
    bucket: str,
    key: str,
    path: Path,
    sha256: str,
    metadata: dict[str, str],
    report: Callable[[int], None] = lambda _: None,
) -> bool:
    """Send the file at `path` to `key` unless the key exists; True if it was sent now.

    The SHA-256 (hex) goes with the request, so S3 itself refuses bytes that differ from those that were checked
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html), and `If-None-Match: *` keeps a
    key from being written twice. A key that exists with the same checksum is a retry of the same batch: nothing to do.

    Raises:
        DataError: the key holds other bytes, the file changed since it was checked, or it is over S3's 5 GiB for one PUT.
        ConfigurationError: no such bucket, no right to write.
        InfrastructureError: S3 gave up after retries.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    size = path.stat().st_size
    where = f"{path.name} → s3://{bucket}/{key}"
    if size > MAX_PUT_BYTES:
        raise DataError(
            f"{where}: the file has {size:,} bytes, one PUT takes at most {MAX_PUT_BYTES:,}; split the file"
        )
    checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
    try:
        with path.open("rb") as file:
            client.put_object(
                Bucket=bucket,
                Key=key,
                Body=_Progress(file, report),  # type: ignore[arg-type]  # botocore needs read, seek and tell only
                ContentLength=size,
                ContentType="text/csv",
                ChecksumSHA256=checksum,
                IfNoneMatch="*",
                Metadata={**metadata, "content-sha256": sha256},
            )
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412:
            raise explain(error, where) from error
        there = client.head_object(Bucket=bucket, Key=key)
        if there["Metadata"].get("content-sha256") == sha256 and there["ContentLength"] == size:
            return False
        raise DataError(
            f"{where}: the key exists with other bytes ({there['ContentLength']:,}, wanted {size:,}) and is never "
            "overwritten; run again under a new batch id"
        ) from error
    except BotoCoreError as error:
        raise explain(error, where) from error
    return True


def keys(client: S3Client, bucket: str, prefix: str) -> dict[str, int]:
    """Key → bytes of every object below `prefix`, folder markers left out.

    Raises:
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return {o["Key"]: o["Size"] for page in pages for o in page.get("Contents", []) if not o["Key"].endswith("/")}
    except (ClientError, BotoCoreError) as error:
        raise explain(error, f"s3://{bucket}/{prefix}") from error


def move(client: S3Client, bucket: str, old: str, new: str) -> None:
    """Copy `old` to `new` on the server and check that it arrived whole. The old object stays until `delete`.

    Over 5 GiB the copy goes in parts. A second try finds its copy there and keeps it.

    Raises:
        DataError: the copy differs in size, or `old` is not there.
        ConfigurationError, InfrastructureError: as `explain`.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    where = f"s3://{bucket}/{old} → {new}"
    try:
        size = client.head_object(Bucket=bucket, Key=old)["ContentLength"]
        client.copy({"Bucket": bucket, "Key": old}, bucket, new)
        arrived = client.head_object(Bucket=bucket, Key=new)["ContentLength"]
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise DataError(f"{where}: no such object; `cxm reconcile` tells what is where") from error
        raise explain(error, where) from error
    except BotoCoreError as error:
        raise explain(error, where) from error
    if arrived != size:
        raise DataError(f"{where}: {arrived:,} bytes arrived, wanted {size:,}; the old object was kept; run again")


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
