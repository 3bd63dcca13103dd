"""Uploads pages as objects that a browser can show: with their content type, and private like the bucket."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from flows.clients.s3 import translate_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_AT_ONCE = 8


def publish(client: S3Client, bucket: str, pages: Mapping[str, bytes]) -> None:
    """Write each page to its key, replacing an existing one.

    Raises:
        ConfigurationError, InfrastructureError: as `flows.clients.s3.translate_error`.
    """
    with ThreadPoolExecutor(_AT_ONCE, "pages") as pool:
        list(pool.map(lambda key: _put(client, bucket, key, pages[key]), pages))


def exists(client: S3Client, bucket: str, key: str) -> bool:
    """Return whether the object exists and may be read."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        # Without the right to list, HEAD of a missing key answers 403.
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
            return False
        raise translate_error(error, f"s3://{bucket}/{key}") from error
    except BotoCoreError as error:
        raise translate_error(error, f"s3://{bucket}/{key}") from error
    return True


def _put(client: S3Client, bucket: str, key: str, page: bytes) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    text = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    try:
        # no-cache: browsers must ask again each time, because the history page keeps its name.
        client.put_object(Bucket=bucket, Key=key, Body=page, ContentType=text, CacheControl="no-cache")
    except (ClientError, BotoCoreError) as error:
        raise translate_error(error, f"s3://{bucket}/{key}") from error
