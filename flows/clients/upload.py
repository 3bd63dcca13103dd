"""Streams bytes into one S3 object, which is visible only when complete and verified by its checksum.

An existing object is never overwritten, except one whose ETag `replaces` names.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from flows.clients.s3 import plain_etag, translate_error
from flows.errors import DataError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

# S3 requires at least 5 MiB for every part but the last, https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES = 6 * 1024 * 1024  # a smaller object is sent in one PUT
# Parts in flight at a time, over all uploads of this process; this bounds memory.
PARTS_AT_ONCE = 6

_slots = threading.BoundedSemaphore(PARTS_AT_ONCE)


@cache
def _senders() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(PARTS_AT_ONCE, "s3-part")


class Upload:
    """The upload of one object to `s3://bucket/key`.

    `replaces`: the ETag of the one object that it may overwrite; by default none.

    Call `write` for each piece, then `end`, `wait` and `finish`; or `abort` at any time. Each part and the whole object carry a
    SHA-256, so S3 rejects damaged bytes
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html).

    All methods raise:
        ConfigurationError: the bucket does not exist, or it may not be written to.
        InfrastructureError: S3 failed after retries.
    """

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        key: str,
        media_type: str,
        metadata: Mapping[str, str],
        replaces: str = "",
    ) -> None:
        self.bytes = 0
        self.etag = ""  # of the object, from `finish` on
        self._client = client
        self._place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._about: dict[str, Any] = {"ContentType": media_type, "Metadata": dict(metadata)}
        self._condition: dict[str, Any] = {"IfMatch": replaces} if replaces else {"IfNoneMatch": "*"}
        self._where = f"s3://{bucket}/{key}"
        self._buffer = bytearray()
        self._id = ""
        self._parts: list[Future[CompletedPartTypeDef]] = []
        self._sent = 0
        self._done = False

    def write(self, data: bytes) -> None:
        """Add bytes; waits while too many parts are in flight."""
        self._buffer += data
        self.bytes += len(data)
        while len(self._buffer) > PART_BYTES:
            self._send(PART_BYTES)

    def end(self) -> None:
        """Send the rest; no more bytes follow."""
        if self._parts:
            self._send(len(self._buffer))

    def wait(self, report: Callable[[int], None] = lambda _: None) -> None:
        """Wait until all parts have arrived. `report` is called with the number of bytes sent so far, and may raise."""
        open_parts = set(self._parts)
        while open_parts:
            done, open_parts = wait(open_parts, timeout=1, return_when="FIRST_COMPLETED")
            self._check(done)
            report(self._sent)

    def finish(self, metadata: Mapping[str, str]) -> bool:
        """Complete the object, which makes it visible; returns False if the key already exists with the same bytes.

        The latter happens when the same batch is retried. `metadata` is added only to an object that is sent in one PUT.

        Raises:
            DataError: the key exists with other bytes.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        self.wait()
        parts = [part.result() for part in self._parts]
        body = bytes(self._buffer)
        checksum = _composite(parts) if parts else _checksum(body)
        try:
            if parts:
                answer: Any = self._client.complete_multipart_upload(
                    **self._place, UploadId=self._id, MultipartUpload={"Parts": parts}, **self._condition
                )
            else:
                about = {**self._about, "Metadata": {**self._about["Metadata"], **metadata}}
                answer = self._client.put_object(
                    **self._place, **about, Body=body, ChecksumSHA256=checksum, **self._condition
                )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code")
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 412 and code != "NoSuchUpload":
                raise translate_error(error, self._where) from error
            # NoSuchUpload: the response was lost, and botocore repeated a request that had succeeded.
            self.etag = self._compare(checksum)
            self.abort()
            return False
        except BotoCoreError as error:
            raise translate_error(error, self._where) from error
        self.etag = plain_etag(answer["ETag"])
        self._done = True
        return True

    def abort(self) -> None:
        """Discard the upload, unless it is finished. Never raises: the bucket's lifecycle rule deletes what remains."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self._done:
            return
        for part in self._parts:
            part.cancel()
        wait(self._parts)  # a part that arrives after the abort would stay in S3, and be billed
        self._buffer.clear()
        if self._id:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**self._place, UploadId=self._id)
        self._done = True

    def _send(self, size: int) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        self._check([part for part in self._parts if part.done()])
        if not self._id:
            try:
                started = self._client.create_multipart_upload(**self._place, **self._about, ChecksumAlgorithm="SHA256")
            except (ClientError, BotoCoreError) as error:
                raise translate_error(error, self._where) from error
            self._id = started["UploadId"]
        _slots.acquire()
        with memoryview(self._buffer) as view:
            body = bytes(view[:size])
        del self._buffer[:size]
        try:
            part = _senders().submit(self._part, len(self._parts) + 1, body)
        except BaseException:
            _slots.release()
            raise
        part.add_done_callback(lambda _: _slots.release())
        self._parts.append(part)

    def _part(self, number: int, body: bytes) -> CompletedPartTypeDef:
        checksum = _checksum(body)
        answer = self._client.upload_part(
            **self._place, UploadId=self._id, PartNumber=number, Body=body, ChecksumSHA256=checksum
        )
        self._sent += len(body)
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _check(self, parts: Any) -> None:
        for part in parts:
            if error := part.exception():
                raise translate_error(error, self._where) from error

    def _compare(self, checksum: str) -> str:
        """Check that the existing object has the same bytes, and return its ETag."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            other = self._client.head_object(**self._place, ChecksumMode="ENABLED")
        except (ClientError, BotoCoreError) as error:
            raise translate_error(error, self._where) from error
        if other.get("ChecksumSHA256") != checksum:
            raise DataError(
                f"{self._where}: the key exists with other bytes ({other['ContentLength']:,}, expected {self.bytes:,}; SHA-256 "
                f"{other.get('ChecksumSHA256')}, expected {checksum}) and is never overwritten; run again under a new batch id"
            )
        return plain_etag(other["ETag"])


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _composite(parts: list[CompletedPartTypeDef]) -> str:
    """Compute S3's composite checksum: the checksum of the parts' checksums, with the number of parts."""
    digests = b"".join(base64.b64decode(part["ChecksumSHA256"]) for part in parts)
    return f"{_checksum(digests)}-{len(parts)}"
