"""Reads S3's event notifications from an SQS queue: which objects were created below a prefix.

    S3 ──s3:ObjectCreated:*──▶ queue ──receive──▶ `Message` … the inbox lists the place … ──forget──▶ deleted from the queue

A message is a hint to list the place, not a reliable list of files: SQS delivers at least once, S3 in any order. The inbox
deletes a message after its poll; if that poll was killed, the message is visible again after `HIDDEN` seconds.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from flows.clients.s3 import translate_error
from flows.errors import ConfigurationError, InfrastructureError

WAIT = 20  # seconds of long polling, the most that SQS allows
HIDDEN = 300  # visibility timeout in seconds; a poll takes one or two
MOST = 10  # messages per response or deletion, SQS's limit
_ROUNDS = 100  # so at most 1,000 messages; the next poll gets the rest
ABSENT = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `keys`: bucket and key of each created object. `odd`: the message is not S3's, so it may mean anything."""

    receipt: str
    keys: tuple[tuple[str, str], ...] = ()
    odd: bool = False

    def is_about(self, bucket: str, prefix: str) -> bool:
        """Return whether an object was created directly below the prefix, not in a folder such as `done/`, or the message is
        odd."""
        return self.odd or any(
            b == bucket and k.startswith(prefix) and "/" not in k[len(prefix) :] for b, k in self.keys
        )


def read(body: str, receipt: str = "") -> Message:
    """Parse a message. The test event that S3 sends when a notification is configured names no object."""
    try:
        document = json.loads(body)
        if document.get("Event") == "s3:TestEvent":
            return Message(receipt)
        created = [r for r in document["Records"] if str(r["eventName"]).startswith("ObjectCreated:")]
        # S3 writes the key "red flower" as red+flower.
        keys = tuple((str(r["s3"]["bucket"]["name"]), unquote_plus(r["s3"]["object"]["key"])) for r in created)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Message(receipt, odd=True)
    return Message(receipt, keys)


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of a source: `messages` receives messages, `forget` deletes them."""

    client: Any
    name: str

    def messages(self, wait: int = WAIT, hidden: int = HIDDEN, rounds: int = _ROUNDS) -> list[Message]:
        """Receive every message in the queue; if it is empty, wait up to `wait` seconds for the first.

        Raises:
            ConfigurationError, InfrastructureError: the queue does not exist, may not be read, or SQS does not answer.
        """
        messages: list[Message] = []
        asked = {"QueueUrl": self._url(), "MaxNumberOfMessages": MOST, "VisibilityTimeout": hidden}
        for _ in range(rounds):
            answer = self._call("receive_message", **asked, WaitTimeSeconds=0 if messages else wait)
            if not (more := answer.get("Messages", [])):
                break
            messages += [read(one["Body"], one["ReceiptHandle"]) for one in more]
        return messages

    def forget(self, messages: Sequence[Message]) -> None:
        """Delete messages. One that SQS fails to delete is delivered again, which only costs another listing."""
        for start in range(0, len(messages), MOST):
            some = messages[start : start + MOST]
            entries = [{"Id": str(n), "ReceiptHandle": one.receipt} for n, one in enumerate(some)]
            self._call("delete_message_batch", QueueUrl=self._url(), Entries=entries)

    def _url(self) -> str:
        return str(self._call("get_queue_url", QueueName=self.name)["QueueUrl"])

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        what = f"queue {self.name}"
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(**arguments)
            return answer
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ABSENT or error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
                raise ConfigurationError(
                    f"{what}: SQS answered {code}; make it and the right to read it: `cxm provision --apply` with "
                    "CXM_INBOX_EVENTS=true and the same CXM_DATA"
                ) from error
            raise InfrastructureError(f"{what}: SQS answered {code}; the next look tries again") from error
        except BotoCoreError as error:
            raise translate_error(error, what) from error
