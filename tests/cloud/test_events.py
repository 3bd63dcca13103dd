"""S3's events for an inbox, on moto's S3, SQS and IAM: what the plan creates, what each identity may do, how messages read."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from flows.arrivals import Seen
from flows.clients.events import Message, Queue, read
from flows.errors import ConfigurationError, InfrastructureError
from flows.places import local
from flows.settings import Settings
from flows.steps import provision
from flows.steps.provision import aws as names_of
from flows.steps.provision import events, policies
from tests.cloud.conftest import ACCOUNT, enforced, login
from tests.cloud.test_iam import BUCKET, refused

CLINIC = "clinic-exports"
SOURCES = ("olist", "synthetic")
OLIST = "cxm-medtech-inbox-olist"
OTHERS: dict[str, Any] = {
    "Id": "theirs",
    "QueueArn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:theirs",
    "Events": ["s3:ObjectRemoved:*"],
}


def record(key: str, bucket: str = CLINIC, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    """Return a record as in https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html."""
    about = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": key, "sequencer": "0055"}}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": event, "s3": about}


def body(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
TEST_EVENT = json.dumps(
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z", "Bucket": CLINIC}
)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        (body(record("in/olist/olist_orders_dataset.csv")), True),
        (body(record("in/olist/red+flower%C3%A9%2B.csv", event="ObjectCreated:CompleteMultipartUpload")), True),
        (body(record("in/olist/a.csv", event="ObjectCreated:Copy"), record("elsewhere/a.csv")), True),
        (body(record("in/olist/done/20261122_101500/a.csv")), False),  # moved there by the inbox itself
        (body(record("in/olist/a.csv", event="ObjectRemoved:Delete")), False),
        (body(record("in/olist/a.csv", bucket="another")), False),
        (body(record("in/olist2/a.csv")), False),
        (body(), False),
        (TEST_EVENT, False),
        ("no JSON", True),  # whatever it means, the place is listed
        ('["Records"]', True),
        ('{"Message": "of SNS"}', True),
    ],
)
def test_a_message_shows_whether_a_file_arrived(text: str, about: bool) -> None:
    assert read(text).is_about(CLINIC, "in/olist/") == about


def test_a_key_is_read_as_it_was_encoded() -> None:
    assert read(body(record("in/olist/red+flower%C3%A9%2B.csv"))).keys == ((CLINIC, "in/olist/red floweré+.csv"),)


@pytest.fixture
def settings() -> Settings:
    return Settings(target="snowflake", data=f"s3://{CLINIC}/in", inbox_events=True)


@pytest.fixture
def places(settings: Settings) -> list[events.Watched]:
    return events.watched(settings, names_of.Names.of(settings, ACCOUNT), SOURCES)


@pytest.fixture
def bucket(aws: None) -> Any:
    """The bucket of a clinic, which already sends another queue events of deletions."""
    client = boto3.client("s3")
    client.create_bucket(Bucket=CLINIC)
    boto3.client("sqs").create_queue(QueueName="theirs")
    client.put_bucket_notification_configuration(
        Bucket=CLINIC, NotificationConfiguration={"QueueConfigurations": [OTHERS]}
    )  # fmt: skip
    return client


def planned(places: list[events.Watched], **login_: str) -> list[provision.Item]:
    clients: Any = {name: boto3.client(name, **login_) for name in ("s3", "sqs")}  # type: ignore[call-overload]
    return list(events.items(clients["s3"], clients["sqs"], ACCOUNT, places))


def make(places: list[events.Watched], **login_: str) -> None:
    clients: Any = {name: boto3.client(name, **login_) for name in ("s3", "sqs")}  # type: ignore[call-overload]
    provision._do(planned(places, **login_), provision.Cloud(**clients), None, lambda _: None)


def test_nothing_is_watched_unless_the_setting_asks_for_it(settings: Settings) -> None:
    off = settings.model_copy(update={"inbox_events": False})
    assert events.watched(off, names_of.Names(ACCOUNT, ""), SOURCES) == []
    assert list(events.items(None, None, ACCOUNT, [])) == []
    for other in ({"data": "/data"}, {"data": "sftp://clinic@files/out"}, {"target": "embedded"}):
        with pytest.raises(ConfigurationError, match="CXM_INBOX_EVENTS: got CXM_DATA="):
            events.watched(settings.model_copy(update=other), names_of.Names(ACCOUNT, ""), SOURCES)


def test_a_queue_for_each_source_takes_what_comes_to_its_prefix_and_others_notifications_stay(
    places: list[events.Watched], bucket: Any
) -> None:
    got = planned(places)
    assert [(i.kind, i.name, i.action) for i in got] == [
        ("queue", OLIST, "created"),
        ("queue", "cxm-medtech-inbox-synthetic", "created"),
        ("notifications", CLINIC, "changed"),
    ]
    keys = login("admin", policies.provision_apply(BUCKET, ACCOUNT, CLINIC))
    enforced(lambda: make(places, **keys))

    assert [i.name for i in planned(places) if i.action != "unchanged"] == []
    kept = {q["Id"]: q for q in bucket.get_bucket_notification_configuration(Bucket=CLINIC)["QueueConfigurations"]}
    assert kept.pop("theirs")["Events"] == OTHERS["Events"]
    assert {q["Filter"]["Key"]["FilterRules"][0]["Value"] for q in kept.values()} == {"in/olist/", "in/synthetic/"}
    queue = Queue(boto3.client("sqs"), OLIST)
    bucket.put_object(Bucket=CLINIC, Key="in/olist/new file.csv", Body=b"x")
    bucket.put_object(Bucket=CLINIC, Key="in/other/file.csv", Body=b"x")
    came = [message.keys for message in queue.messages(0) if message.keys]  # moto sends a test event too
    assert came == [((CLINIC, "in/olist/new file.csv"),)]


def test_s3_may_send_for_this_bucket_of_this_account_and_nobody_else(places: list[events.Watched], bucket: Any) -> None:
    make(places)
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=OLIST)["QueueUrl"]
    (statement,) = json.loads(
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    )["Statement"]  # fmt: skip
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws:s3:*:*:{CLINIC}"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }


def test_drift_is_shown_and_put_right_and_what_others_added_stays(places: list[events.Watched], bucket: Any) -> None:
    make(places)
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=OLIST)["QueueUrl"]
    allowed = {"Principal": {"AWS": ACCOUNT}, "Action": ["SQS:GetQueueAttributes"], "Resource": places[0].arn}
    other = {"Sid": "Theirs", "Effect": "Allow", **allowed}
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [other, policies.from_s3(places[0].arn, "old", ACCOUNT)]}
    )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    held = events.configuration(bucket, CLINIC)
    next(q for q in held["QueueConfigurations"] if q["Id"] == OLIST)["Filter"]["Key"]["FilterRules"][0]["Value"] = "in/"
    held["QueueConfigurations"] = [q for q in held["QueueConfigurations"] if not q["Id"].endswith("synthetic")]
    bucket.put_bucket_notification_configuration(Bucket=CLINIC, NotificationConfiguration=held)

    keys = login("planner", policies.provision_plan(BUCKET, ACCOUNT, CLINIC))
    got = [i for i in enforced(lambda: planned(places, **keys)) if i.action != "unchanged"]
    assert [(i.kind, i.name, i.why) for i in got] == [
        ("queue", OLIST, f"its policy does not let S3 send to it for bucket {CLINIC} of this account alone"),
        ("notifications", CLINIC, f"that are missing or differ: {OLIST}, cxm-medtech-inbox-synthetic"),
    ]
    make(places)
    assert [i.name for i in planned(places) if i.action != "unchanged"] == []
    text = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"]
    assert [s["Sid"] for s in json.loads(text)["Statement"]] == ["Theirs", "EventsOfTheInbox"]
    assert "theirs" in [q["Id"] for q in events.configuration(bucket, CLINIC)["QueueConfigurations"]]


def test_taking_an_environment_down_takes_its_queues_and_notifications_and_no_others(
    places: list[events.Watched], bucket: Any
) -> None:
    make(places)
    sqs: Any = boto3.client("sqs")
    provision._do(list(events.removals(bucket, sqs, places)), provision.Cloud(bucket, sqs=sqs), None, lambda _: None)
    assert [q["Id"] for q in events.configuration(bucket, CLINIC)["QueueConfigurations"]] == ["theirs"]
    assert [url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]] == ["theirs"]
    assert list(events.removals(bucket, sqs, places)) == []


def test_the_ingestion_identity_reads_its_queues_and_no_others(places: list[events.Watched], bucket: Any) -> None:
    make(places)
    document = policies.landing(BUCKET, (f"s3://{CLINIC}/in",), "left", [one.arn for one in places])
    client = boto3.client("sqs", **login("runs", document))  # type: ignore[call-overload]
    bucket.put_object(Bucket=CLINIC, Key="in/olist/a.csv", Body=b"x")

    def run() -> None:
        queue = Queue(client, OLIST)
        queue.forget(queue.messages(0))
        with pytest.raises(ConfigurationError, match=r"queue theirs: SQS answered .* CXM_INBOX_EVENTS"):
            Queue(client, "theirs").messages(0)
        assert refused(client.create_queue, QueueName="another")
        url = client.get_queue_url(QueueName=OLIST)["QueueUrl"]
        assert refused(client.send_message, QueueUrl=url, MessageBody="x")
        assert refused(client.delete_queue, QueueUrl=url)

    enforced(run)


def test_doctor_checks_each_queue_and_leaves_its_messages(
    places: list[events.Watched], bucket: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import admin_clients, blocks, doctor

    make(places[:1])
    bucket.put_object(Bucket=CLINIC, Key="in/olist/a.csv", Body=b"x")
    monkeypatch.setattr(blocks, "sqs_client", lambda _: boto3.client("sqs"))
    monkeypatch.setattr(admin_clients, "contracts", lambda: [SimpleNamespace(name=name) for name in SOURCES])
    for _ in range(2):
        assert [one.status for one in doctor.inbox_queues(settings)] == ["ok", "fail"]
    assert any(message.keys for message in Queue(boto3.client("sqs"), OLIST).messages(0))
    off = settings.model_copy(update={"inbox_events": False})
    assert [one.status for one in doctor.inbox_queues(off)] == ["skipped"]


def test_every_message_is_read_and_only_a_forgotten_one_is_gone(aws: None) -> None:
    client = boto3.client("sqs")
    url = client.create_queue(QueueName=OLIST)["QueueUrl"]
    for number in range(23):
        client.send_message(QueueUrl=url, MessageBody=body(record(f"in/olist/{number}.csv")))
    queue = Queue(client, OLIST)
    messages = queue.messages(0)
    assert len({message.keys for message in messages}) == 23
    queue.forget(messages[:21])

    def left() -> int:
        asked: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, client.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"].values()))

    assert left() == 2
    queue.forget(messages[21:])
    assert left() == 0
    queue.forget([])
    with pytest.raises(ConfigurationError, match=r"queue none: SQS answered .*`cxm provision --apply`"):
        Queue(client, "none").messages(0)


@pytest.mark.parametrize(
    ("messages", "memory", "listed", "asks"),
    [
        ([read(body(record("in/olist/a.csv")))], {}, 1, True),
        ([], {}, 1, False),
        ([read(TEST_EVENT), read(body(record("in/olist/done/b/a.csv")))], {}, 1, False),
        ([], {"": Seen("f", "2026-11-22T10:15:00+00:00")}, 1, True),  # settles, or waits for its other files
        ([], {"": Seen("f", "2026-11-22T10:15:00+00:00", run="r")}, 1, False),
        ([], {}, 61, True),  # in case an event was lost
        ([], {}, None, True),
    ],
)
def test_a_look_lists_the_place_where_it_may_have_changed(
    messages: list[Message], memory: dict[str, Seen], listed: int | None, asks: bool,
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    from flows import inbox

    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    known = {} if listed is None else {"cxm_inbox_olist_listed": (now - timedelta(minutes=listed)).isoformat()}
    done: list[Any] = []
    monkeypatch.setattr(inbox.Variable, "get", lambda name, default: known.get(name, default))
    monkeypatch.setattr(inbox.Variable, "set", lambda name, text, overwrite: known.update({name: text}))
    monkeypatch.setattr(inbox.blocks, "sqs_client", lambda _: None)
    monkeypatch.setattr(inbox, "get_run_logger", lambda: SimpleNamespace(warning=print))
    monkeypatch.setattr(inbox.events.Queue, "messages", lambda _: messages)
    monkeypatch.setattr(inbox.events.Queue, "forget", lambda _, read: done.append(list(read)))
    mail = inbox._Notifications.of(settings, "olist", f"s3://{CLINIC}/in/olist")
    assert mail
    assert (mail.needs_listing(memory, now), done) == (asks, [])
    mail.end(now, looked=asks)
    assert done == [messages]
    assert (known.get("cxm_inbox_olist_listed") == now.isoformat()) == asks


def test_another_place_than_the_sources_own_is_listed_at_each_look(settings: Settings) -> None:
    from flows import inbox

    assert inbox._Notifications.of(settings, "olist", "s3://elsewhere/olist") is None
    assert (
        inbox._Notifications.of(settings.model_copy(update={"inbox_events": False}), "olist", f"s3://{CLINIC}/in/olist")
        is None
    )


def test_a_message_is_deleted_after_the_look_that_it_caused_and_not_before(
    aws: None, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from flows import inbox

    client = boto3.client("sqs")
    url = client.create_queue(QueueName=OLIST)["QueueUrl"]
    (tmp_path / "olist_orders_dataset.csv").touch()
    started = asdict(Seen("f", "2026-11-22T10:15:00+00:00", run="r"))
    known = {"cxm_inbox_olist": json.dumps({"": started}), "cxm_inbox_olist_listed": datetime.now(UTC).isoformat()}
    listed: list[str] = []

    def place(_: Settings, where: str) -> Any:
        listed.append(where)
        if len(listed) == 1:
            raise InfrastructureError("S3 is away")
        return local(tmp_path)

    def left() -> int:
        asked: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        return sum(map(int, client.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"].values()))

    monkeypatch.setattr(inbox.Variable, "get", lambda name, default: known.get(name, default))
    monkeypatch.setattr(inbox.Variable, "set", lambda name, text, overwrite: known.update({name: text}))
    monkeypatch.setattr(inbox.blocks, "sqs_client", lambda _: client)
    monkeypatch.setattr(inbox.tasks, "Blocks", lambda *_: SimpleNamespace(settings=settings))
    monkeypatch.setattr(inbox.located, "place", place)
    monkeypatch.setattr(inbox.prefect_ui, "ended", lambda message, one: (message, one))
    monkeypatch.setattr(inbox.events.Queue.messages, "__defaults__", (0, 0, 1))  # no waiting, and seen again at once

    def look() -> Any:
        return inbox.inbox.fn(source="olist")

    where = f"s3://{CLINIC}/in/olist"
    assert look() == (f"{where}: no event of S3, not listed", ())
    client.send_message(QueueUrl=url, MessageBody=TEST_EVENT)
    look()
    assert (listed, left()) == ([], 0)
    client.send_message(QueueUrl=url, MessageBody=body(record("in/olist/olist_orders_dataset.csv")))
    with pytest.raises(InfrastructureError, match="away"):
        look()
    assert (listed, left()) == ([where], 1)
    message, (got,) = look()
    assert (got.status, left()) == ("waits", 0)
    assert "waits for " in message
    look()  # without an event: the set waits for its other files
    assert listed == [where] * 3
