"""A place `s3://bucket/prefix`, read with the login of the landing zone.

An object is read as one stream. If it breaks off, reading resumes at the next byte. Every request names the ETag
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html), so that two versions of an object are never mixed.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.clients.s3 import plain_etag, translate_error
from flows.errors import ConfigurationError, DataError, InfrastructureError
from flows.places import DONE, Archive, Place, PlaceEntry, Raw, resolved
from flows.streams import Seekable
from flows.unpack import DEFAULT, READ_BYTES, Limits

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRIES = 6  # attempts in a row that return no byte


@dataclass(frozen=True, slots=True)
class Prefix(Place):
    """The objects directly below a prefix, without those in its "folders"."""

    client: S3Client = field(repr=False)
    bucket: str
    prefix: str  # ends in "/", or is empty
    limits: Limits = DEFAULT

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def path_of(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{name}"

    def entries(self) -> list[PlaceEntry]:
        return [entry for entry in self._listed(self.prefix)[0] if not entry.name.startswith(".")]

    def find(self, names: tuple[str, ...]) -> list[PlaceEntry]:
        shared = os.path.commonprefix(names)  # noqa: RUF071 (of text)
        return [entry for entry in self._listed(self.prefix + shared)[0] if entry.name in names]

    def only(self) -> PlaceEntry | None:
        entries, whole = self._listed(self.prefix, first=10)
        shown = [entry for entry in entries if not entry.name.startswith(".") and entry.name != f"{DONE}/"]
        return shown[0] if whole and len(shown) == 1 else None

    def open_raw(self, entry: PlaceEntry, expected: str, stack: ExitStack) -> Raw:
        file = stack.enter_context(io.BufferedReader(_Object(self, entry), READ_BYTES))
        return Raw(entry.path, file, entry.size, lambda: self._state(entry.name))

    def dispose(self, entries: Sequence[PlaceEntry], folder: str = "") -> int:
        """Copy each object into `folder`, if given, and delete it, if it is still the listed version; returns how many."""
        from botocore.exceptions import BotoCoreError, ClientError

        done = 0
        for entry in entries:
            if self.find((entry.name,)) != [entry]:
                continue
            key, etag = self.prefix + entry.name, f'"{entry.version}"'
            try:
                if folder:
                    source: Any = {"Bucket": self.bucket, "Key": key}
                    to = f"{self.prefix}{folder}/{entry.name}"
                    self.client.copy(source, self.bucket, to, ExtraArgs={"CopySourceIfMatch": etag})
                self.client.delete_object(Bucket=self.bucket, Key=key, IfMatch=etag)
            except (ClientError, BotoCoreError) as error:
                if str(getattr(error, "response", {}).get("Error", {}).get("Code")) == "PreconditionFailed":
                    continue
                raise _explained(error, entry.path, _CLEAR) from error
            done += 1
        return done

    def get(self, entry: PlaceEntry, at: int) -> Any:
        """Request the body of an object from byte `at` on, if it is still the listed version."""
        from botocore.exceptions import ClientError

        # No Range at byte 0: botocore verifies the checksum of a whole object, but not of a range.
        part = {"Range": f"bytes={at}-"} if at else {}
        key = self.prefix + entry.name
        try:
            return self.client.get_object(Bucket=self.bucket, Key=key, IfMatch=f'"{entry.version}"', **part)["Body"]  # type: ignore[arg-type]
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if code in ("PreconditionFailed", "NoSuchKey", "InvalidRange"):
                raise DataError(
                    f"{entry.path}: changed while it was read: expected {_words(entry)} as at its start, got "
                    f"{self._state(entry.name)}; nothing of it was landed; run again once whatever writes it has finished"
                ) from None
            if code == "InvalidObjectState":
                raise DataError(
                    f"{entry.path}: is in an archive class of S3, which cannot be read; restore it (aws s3api restore-object)"
                ) from None
            raise

    def _state(self, name: str) -> str:
        entries = self.find((name,))
        return _words(entries[0]) if entries else "no object"

    def _listed(self, prefix: str, first: int = 0) -> tuple[list[PlaceEntry], bool]:
        """List the entries below a prefix, or only the `first` ones; and whether these are all."""
        from botocore.exceptions import BotoCoreError, ClientError

        entries: list[PlaceEntry] = []
        asked: Any = {"Bucket": self.bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": first or 1000}
        try:
            while True:
                page = self.client.list_objects_v2(**asked)
                entries += [self._folder(str(one["Prefix"])) for one in page.get("CommonPrefixes", [])]
                entries += [self._entry(one) for one in page.get("Contents", []) if one["Key"] != self.prefix]
                whole = not page.get("IsTruncated")
                if first or whole:
                    return sorted(entries, key=lambda entry: entry.name), whole
                asked["ContinuationToken"] = page["NextContinuationToken"]
        except (ClientError, BotoCoreError) as error:
            raise _explained(error, str(self)) from error

    def _folder(self, prefix: str) -> PlaceEntry:
        name = prefix.removeprefix(self.prefix)
        return PlaceEntry(name, 0, datetime.fromtimestamp(0, UTC), self.path_of(name))

    def _entry(self, listed: Any) -> PlaceEntry:
        name = listed["Key"].removeprefix(self.prefix)
        changed = listed["LastModified"].astimezone(UTC)
        return PlaceEntry(name, listed["Size"], changed, self.path_of(name), plain_etag(listed["ETag"]))


class _Object(Seekable):
    """A seekable stream of an object's bytes."""

    def __init__(self, place: Prefix, entry: PlaceEntry) -> None:
        super().__init__(entry.size)
        self._place, self._entry = place, entry
        self._body: Any = None

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Seek to a byte; unless it is the current position, the next read makes a new request."""
        before = self._at
        if super().seek(offset, whence) != before:
            self._drop()
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        from botocore.exceptions import BotoCoreError, ClientError

        if self._at >= self._entry.size or not len(buffer):
            return 0
        said: Exception | str = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(5.0, 0.2 * 2**attempt) * random.uniform(0.5, 1))
            try:
                if self._body is None:
                    self._body = self._place.get(self._entry, self._at)
                data = self._body.read(min(len(buffer), self._entry.size - self._at))
            except ClientError as error:
                raise _explained(error, self._entry.path) from error
            except (BotoCoreError, OSError) as error:
                said = error
            else:
                if data:
                    buffer[: len(data)] = data
                    self._at += len(data)
                    self._check_whole()
                    return len(data)
                said = "the answer ended"
            self._drop()
        raise InfrastructureError(
            f"{self._entry.path}: broke off: expected {self._entry.size:,} bytes, got {self._at:,} in {TRIES} tries ({said}); "
            "nothing of it was landed; check the network, then run again"
        )

    def _check_whole(self) -> None:
        """Read past the last byte, which makes botocore verify the checksum of a whole object, if S3 has one."""
        from botocore.exceptions import BotoCoreError, FlexibleChecksumError

        if self._at < self._entry.size:
            return
        try:
            self._body.read(1)
        except FlexibleChecksumError as error:
            raise InfrastructureError(f"{self._entry.path}: damaged on the way ({error}); run again") from None
        except (BotoCoreError, OSError):
            pass  # every byte has arrived
        self._drop()

    def close(self) -> None:
        """Close the connection."""
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._body is not None:
            with suppress(Exception):
                self._body.close()
        self._body = None


def place(client: S3Client, address: str, limits: Limits = DEFAULT) -> Place:
    """Open the place `s3://bucket/prefix`; if an object has exactly that key, it is read as an archive.

    Raises:
        ConfigurationError, InfrastructureError: the bucket does not exist, may not be read, or S3 does not answer.
    """
    bucket, _, key = address.partition("://")[2].rstrip("/").partition("/")
    if not bucket:
        raise ConfigurationError(f"{address}: names no bucket; expected s3://bucket/prefix")
    folder, _, name = key.rpartition("/")
    around = Prefix(client, bucket, folder + "/" if folder else "", limits)
    if name and around.find((name,)):
        return Archive(around, name)
    return resolved(Prefix(client, bucket, key + "/" if key else "", limits))


def _words(entry: PlaceEntry) -> str:
    return f"{entry.size:,} bytes with ETag {entry.version}"


_READ = "read it; name the place in CXM_SOURCE_PLACES"
_CLEAR = "move or delete it; set CXM_INBOX_AFTER to what inbox is to do, name the place in CXM_SOURCE_PLACES"


def _explained(error: Exception, what: str, wish: str = _READ) -> Exception:
    """Translate an error like `flows.clients.s3.translate_error`, for a bucket that may belong to others."""
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    if code == "NoSuchBucket":
        return ConfigurationError(f"{what}: there is no such bucket; correct its name in --data or CXM_DATA")
    if code in ("AccessDenied", "403", "AllAccessDisabled"):
        return ConfigurationError(
            f"{what}: S3 answered {code}: the run's identity may not {wish} and run "
            "`cxm provision --apply`; another account's bucket and a KMS key have policies of their own, which their owner sets"
        )
    return translate_error(error, what)
