"""Plans S3 events (CXM_INBOX_EVENTS): a queue for each source, its policy, and the bucket's notifications.

The bucket is CXM_DATA's, which others may have configured too: a bucket has one configuration, each write replaces the
whole (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html), so ours are merged into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.clients.events import ABSENT
from flows.errors import ConfigurationError
from flows.settings import Settings
from flows.steps.provision import aws, policies
from flows.steps.provision.plan import Action, Call, Item

KEPT = 14 * 24 * 3600  # seconds, SQS's maximum, so that messages outlast a pause of the schedule


@dataclass(frozen=True, slots=True)
class Watched:
    """The queue of one source, and the prefix whose objects it reports."""

    source: str
    queue: str
    arn: str
    bucket: str
    prefix: str

    @property
    def notification(self) -> dict[str, Any]:
        """The queue's entry in the bucket's configuration."""
        rules = [{"Name": "prefix", "Value": self.prefix}]
        return {
            "Id": self.queue,
            "QueueArn": self.arn,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": rules}},
        }


def watched(settings: Settings, names: aws.Names, sources: Sequence[str]) -> list[Watched]:
    """Return the queues and prefixes to watch; empty if CXM_INBOX_EVENTS is off.

    Raises:
        ConfigurationError: CXM_DATA is not on S3.
    """
    if not settings.inbox_events:
        return []
    queues = []
    for source in sources:
        bucket, prefix = settings.inbox_place(source)
        queue = settings.inbox_queue(source)
        arn = f"arn:aws:sqs:{settings.aws_region}:{names.account}:{queue}"
        queues.append(Watched(source, queue, arn, bucket, prefix))
    return queues


def items(s3: Any, sqs: Any, account: str, places: Sequence[Watched]) -> Iterator[Item]:
    """Yield the items of the queues, then of the notifications, because S3 tests that the queue accepts its messages."""
    for one in places:
        yield _queue(sqs, account, one)
    for bucket in dict.fromkeys(one.bucket for one in places):
        yield _notifications(s3, bucket, [one for one in places if one.bucket == bucket])


def _queue(sqs: Any, account: str, one: Watched) -> Item:
    what = f"queue {one.queue}"
    expected = policies.from_s3(one.arn, one.bucket, account)
    answer = aws.ask(sqs.get_queue_url, what, *ABSENT, QueueName=one.queue)
    if answer is None:
        attributes = {
            "MessageRetentionPeriod": str(KEPT),
            "SqsManagedSseEnabled": "true",
            "Policy": json.dumps(policies.policy(expected)),
        }
        call = Call("sqs", "create_queue", {"QueueName": one.queue, "Attributes": attributes})
        return Item("AWS", "queue", one.queue, "created", "does not exist", (call,))
    url = answer["QueueUrl"]
    held = aws.ask(sqs.get_queue_attributes, what, QueueUrl=url, AttributeNames=["Policy"]) or {}
    text = held.get("Attributes", {}).get("Policy")
    statements = json.loads(text)["Statement"] if text else []
    if expected in statements:
        return Item("AWS", "queue", one.queue, "unchanged")
    others = [s for s in statements if s.get("Sid") != expected["Sid"]]
    document = json.dumps(policies.policy(*others, expected))
    call = Call("sqs", "set_queue_attributes", {"QueueUrl": url, "Attributes": {"Policy": document}})
    why = f"its policy does not let S3 send to it for bucket {one.bucket} of this account alone"
    return Item("AWS", "queue", one.queue, "changed", why, (call,))


def _notifications(s3: Any, bucket: str, places: Sequence[Watched]) -> Item:
    kind = "notifications"
    current = configuration(s3, bucket)
    queues = {str(one.get("Id")): one for one in current.get("QueueConfigurations", [])}
    ours = {one.notification["Id"]: one.notification for one in places}
    differ = [name for name, expected in ours.items() if not _same(queues.get(name), expected)]
    if not differ:
        return Item("AWS", kind, bucket, "unchanged")
    merged = {**current, "QueueConfigurations": list({**queues, **ours}.values())}
    why = f"that are missing or differ: {', '.join(differ)}"
    action: Action = "changed" if current else "created"
    return Item("AWS", kind, bucket, action, why, (replacing(bucket, merged),))


def configuration(s3: Any, bucket: str) -> dict[str, Any]:
    """Read the bucket's notifications, in the form in which they are written back.

    Raises:
        ConfigurationError: the bucket does not exist.
    """
    what = f"bucket {bucket}: notifications"
    answer = aws.ask(s3.get_bucket_notification_configuration, what, "NoSuchBucket", Bucket=bucket)
    if answer is None:
        raise ConfigurationError(
            f"bucket {bucket}: not found; CXM_DATA names it, and S3 events come from an existing bucket"
        )
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def replacing(bucket: str, merged: Mapping[str, Any]) -> Call:
    """Return the call that writes a bucket's whole configuration."""
    arguments = {"Bucket": bucket, "NotificationConfiguration": merged}
    return Call("s3", "put_bucket_notification_configuration", arguments)


def _same(got: Mapping[str, Any] | None, expected: Mapping[str, Any]) -> bool:
    """Compare a queue's entry with the expected one. S3 may return a rule's name in another letter case, `Prefix`."""
    return got is not None and _plain(got) == _plain(expected)


def _plain(one: Mapping[str, Any]) -> tuple[Any, ...]:
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return one["QueueArn"], sorted(one["Events"]), sorted((r["Name"].lower(), r.get("Value", "")) for r in rules)


def removals(s3: Any, sqs: Any, places: Sequence[Watched]) -> Iterator[Item]:
    """Yield the items that delete the queues and our notifications; other notifications stay."""
    ours = {one.notification["Id"] for one in places}
    for bucket in dict.fromkeys(one.bucket for one in places):
        current = configuration(s3, bucket)
        queues = current.get("QueueConfigurations", [])
        if left := [one for one in queues if one.get("Id") in ours]:
            merged = {**current, "QueueConfigurations": [one for one in queues if one not in left]}
            yield Item("AWS", "notifications", bucket, "removed", "", (replacing(bucket, merged),))
    for one in places:
        if answer := aws.ask(sqs.get_queue_url, f"queue {one.queue}", *ABSENT, QueueName=one.queue):
            call = Call("sqs", "delete_queue", {"QueueUrl": answer["QueueUrl"]})
            yield Item("AWS", "queue", one.queue, "removed", "", (call,))
