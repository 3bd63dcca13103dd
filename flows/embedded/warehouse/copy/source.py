"""The location of COPY's files, a stage or a URL: lists, downloads and deletes the files under it.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#required-parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from flows.embedded.warehouse.copy.options import compilation, fail
from flows.embedded.warehouse.session.context import SessionContext, StageInfo, UrlStorage
from flows.embedded.warehouse.storage.s3 import s3_client


@dataclass(frozen=True, slots=True)
class StagedFile:
    """One staged file: `url` names it in results and history, `path` is METADATA$FILENAME."""

    url: str
    path: str
    size: int
    etag: str
    modified: datetime


class CopySource:
    """The stage or URL after FROM: lists, downloads and deletes its files."""

    def __init__(self, location: str, session: SessionContext, beside: UrlStorage) -> None:
        self.stage: StageInfo | None = None
        if location.startswith("@"):
            name, path = split_stage(location[1:])
            self.stage = session.stage(name)
            self.base = self.stage.url
            self.url = self.base.rstrip("/") + "/" + path if path else self.base
        else:
            self.base = self.url = location
        parts = urlsplit(self.url)
        if parts.scheme != "s3" or ".." in parts.path.split("/"):
            raise compilation(1011, "42601", f"invalid URL prefix found in: '{location}'")
        self.bucket, self.prefix = parts.netloc, self.url.split("://", 1)[1].partition("/")[2]
        self.storage = session.storage(self.url, self.stage or beside)
        self.client = s3_client(self.storage.access)

    def named(self, names: Sequence[str]) -> list[StagedFile]:
        """Return the files in FILES: each name is appended to the path as it is, without a slash.

        A missing file stops the statement (copy-into-table, ON_ERROR = ABORT_STATEMENT).
        """
        files = []
        for name in dict.fromkeys(names):
            one = self._one(self.prefix + name)
            if one is None:
                raise fail(91016, "22000", missing(f"s3://{self.bucket}/{self.prefix}{name}"))
            files.append(one)
        return files

    def listed(self) -> list[StagedFile]:
        """Return all files whose name starts with the path, sorted by name; folder markers are left out."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        with self._translated(f"s3://{self.bucket}/{self.prefix}"):
            files = [
                self._file(item["Key"], item["Size"], item["ETag"], item["LastModified"])
                for page in pages
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")
            ]
        return sorted(files, key=lambda f: f.path)

    def _one(self, key: str) -> StagedFile | None:
        from botocore.exceptions import ClientError

        self.storage.check(f"s3://{self.bucket}/{key}")
        try:
            with self._translated(f"s3://{self.bucket}/{key}"):
                head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError:
            return None
        return self._file(key, head["ContentLength"], head["ETag"], head["LastModified"])

    def _file(self, key: str, size: int, etag: str, modified: datetime) -> StagedFile:
        self.storage.check(f"s3://{self.bucket}/{key}")
        return StagedFile(f"s3://{self.bucket}/{key}", key, size, etag.strip('"'), modified.astimezone(UTC))

    def fetched(self, file: StagedFile, folder: Path) -> Path:
        """Download the file into `folder`; return the path of the local file."""
        from botocore.exceptions import ClientError

        local = folder / "source"
        try:
            with self._translated(file.url), local.open("wb") as out:
                # The ETag pins the bytes that were listed: an object replaced since then is reported as missing.
                body = self.client.get_object(Bucket=self.bucket, Key=file.path, IfMatch=f'"{file.etag}"')["Body"]
                for chunk in body.iter_chunks(1 << 20):
                    out.write(chunk)
        except ClientError:
            raise fail(91016, "22000", missing(file.url)) from None
        return local

    def remove(self, file: StagedFile) -> None:
        """Delete the file (PURGE): "If the purge operation fails for any reason, no error is returned currently"
        (copy-into-table)."""
        with suppress(Exception):
            self.client.delete_object(Bucket=self.bucket, Key=file.path)

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """Translate S3 errors other than a missing key into Snowflake's 'Failure using stage area'."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as fault:
            code = str(fault.response.get("Error", {}).get("Code", ""))
            if code in ("404", "NoSuchKey", "NotFound", "PreconditionFailed", "412"):
                raise
            raise fail(91003, "55000", f"Failure using stage area. Cause: [{code} ({what})]") from None
        except BotoCoreError as fault:
            raise fail(91003, "55000", f"Failure using stage area. Cause: [{fault} ({what})]") from None


def missing(name: str) -> str:
    """Return Snowflake's message for a missing staged file (091016)."""
    return (
        f"Remote file '{name}' was not found. If you are running a copy command, please make sure files are not deleted "
        "when they are being loaded or files are not being loaded into two different tables concurrently with auto purge option."
    )


def split_stage(text: str) -> tuple[str, str]:
    """Split `DB."Sch/ema".STAGE/path/x` into the stage's name as written and the path after its slash."""
    match = re.match(r'((?:"(?:[^"]|"")*"|[^/".]+|\.)+)(?:/(.*))?$', text, re.DOTALL)
    if not match:
        raise compilation(1003, "42000", f"syntax error: '@{text}' is not a stage reference")
    return match[1], match[2] or ""
