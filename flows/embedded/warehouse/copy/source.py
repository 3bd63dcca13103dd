"""Where COPY's files are: a stage or a URL → the files under it, listed, fetched and removed.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#required-parameters
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.embedded.warehouse.copy.options import compilation, fail
from flows.embedded.warehouse.session.context import S3Access, SessionContext, StageInfo, UrlStorage


@dataclass(frozen=True, slots=True)
class File:
    """One staged file: `url` names it in results and history, `path` is METADATA$FILENAME."""

    url: str
    path: str
    size: int
    etag: str
    modified: datetime


class Source:
    """The stage or URL after FROM: lists, opens and removes its files."""

    def __init__(self, location: str, session: SessionContext, beside: UrlStorage) -> None:
        self.stage: StageInfo | None = None
        if location.startswith("@"):
            name, path = split_stage(location[1:])
            self.stage = session.stage(name)
            base = self.stage.url
            self.url = base.rstrip("/") + "/" + path if path else base
        else:
            base = self.url = location
        self.base = base
        parts = urlsplit(self.url)
        if (parts.scheme != "s3" and self.stage is None) or ".." in parts.path.split("/"):
            raise compilation(1011, "42601", f"invalid URL prefix found in: '{location}'")
        self.external = parts.scheme == "s3"
        self.bucket, self.prefix = parts.netloc, self.url.split("://", 1)[1].partition("/")[2]
        if not self.external:
            root = Path(urlsplit(self.stage.url if self.stage else self.url).path)
            self.root, self.prefix = root, parts.path[len(str(root)) :].lstrip("/")
        else:
            self.storage = session.storage(self.url, self.stage or beside)
            self.client = s3_client(self.storage.access)

    def named(self, names: Sequence[str]) -> list[File]:
        """The files in FILES: the name is put behind the path as it is, without a slash between.

        A file that is not there stops the statement (copy-into-table, ON_ERROR = ABORT_STATEMENT).
        """
        found = []
        for name in dict.fromkeys(names):
            one = self._one(self.prefix + name)
            if one is None:
                shown = (
                    f"s3://{self.bucket}/{self.prefix}{name}"
                    if self.external
                    else f"@{self._shown(self.prefix + name)}"
                )
                raise fail(91016, "22000", missing(shown))
            found.append(one)
        return found

    def listed(self) -> list[File]:
        """All files whose name starts with the path, in the order of their names; folder markers left out."""
        if self.external:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            found = []
            with self._translated(f"s3://{self.bucket}/{self.prefix}"):
                for page in pages:
                    for item in page.get("Contents", []):
                        if not item["Key"].endswith("/"):
                            found.append(self._s3_file(item["Key"], item["Size"], item["ETag"], item["LastModified"]))
            return sorted(found, key=lambda f: f.path)
        paths = sorted(p for p in self.root.rglob("*") if p.is_file()) if self.root.is_dir() else []
        keys = [p.relative_to(self.root).as_posix() for p in paths]
        return [one for key in keys if key.startswith(self.prefix) and (one := self._one(key))]

    def _one(self, key: str) -> File | None:
        if not self.external:
            path = self.root / key
            if not path.is_file() or not path.resolve().is_relative_to(self.root.resolve()):
                return None
            status = path.stat()
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            return File(self._shown(key), key, status.st_size, _digest(path), modified)
        from botocore.exceptions import ClientError

        self.storage.check(f"s3://{self.bucket}/{key}")
        try:
            with self._translated(f"s3://{self.bucket}/{key}"):
                head = self.client.head_object(Bucket=self.bucket, Key=key)
        except ClientError:
            return None
        return self._s3_file(key, head["ContentLength"], head["ETag"], head["LastModified"])

    def _s3_file(self, key: str, size: int, etag: str, modified: datetime) -> File:
        self.storage.check(f"s3://{self.bucket}/{key}")
        return File(f"s3://{self.bucket}/{key}", key, size, etag.strip('"'), modified.astimezone(UTC))

    def _shown(self, key: str) -> str:
        return f"{self.stage.name.lower()}/{key}" if self.stage else key

    def fetched(self, file: File, folder: Path) -> Path:
        """The file's bytes as a local file: an internal stage's own, or an S3 object streamed into `folder`."""
        if not self.external:
            return self.root / file.path
        from botocore.exceptions import ClientError

        local = folder / "source"
        try:
            with self._translated(file.url), local.open("wb") as out:
                # The ETag pins the bytes that were listed: an object replaced in between is a missing file.
                body = self.client.get_object(Bucket=self.bucket, Key=file.path, IfMatch=f'"{file.etag}"')["Body"]
                for chunk in body.iter_chunks(1 << 20):
                    out.write(chunk)
        except ClientError:
            raise fail(91016, "22000", missing(file.url)) from None
        return local

    def remove(self, file: File) -> None:
        """PURGE: "If the purge operation fails for any reason, no error is returned currently" (copy-into-table)."""
        with suppress(Exception):
            if self.external:
                self.client.delete_object(Bucket=self.bucket, Key=file.path)
            else:
                (self.root / file.path).unlink()

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        """S3 faults other than a missing key become Snowflake's 'Failure using stage area'."""
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
    """Snowflake's words for a staged file that is not there (091016)."""
    return (
        f"Remote file '{name}' was not found. If you are running a copy command, please make sure files are not deleted "
        "when they are being loaded or files are not being loaded into two different tables concurrently with auto purge option."
    )


@lru_cache(maxsize=4)
def s3_client(access: S3Access) -> Any:
    """A boto3 client of the embedded object store."""
    # Clients are thread-safe and making one takes a tenth of a second.
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3", endpoint_url=access.endpoint, aws_access_key_id=access.access_key, aws_secret_access_key=access.secret_key,
        region_name=access.region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}, connect_timeout=5, read_timeout=60),
    )  # fmt: skip


def split_stage(text: str) -> tuple[str, str]:
    """`DB."Sch/ema".STAGE/path/x` → the stage's name as written and the path behind its slash."""
    found = re.match(r'((?:"(?:[^"]|"")*"|[^/".]+|\.)+)(?:/(.*))?$', text, re.DOTALL)
    if not found:
        raise compilation(1003, "42000", f"syntax error: '@{text}' is not a stage reference")
    return found[1], found[2] or ""


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
