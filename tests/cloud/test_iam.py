"""What each AWS identity may do, decided by IAM (moto with its decisions on): everything its calls need, and nothing beside."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import parliament
import pytest
from botocore.exceptions import ClientError

from flows.clients import s3, s3_pages
from flows.clients.upload import PART_BYTES, Upload
from flows.docs_place import DocsPlace, data_docs
from flows.errors import ConfigurationError
from flows.settings import PROJECT, After, Settings
from flows.steps import provision
from flows.steps.provision import aws as aws_items
from flows.steps.provision import policies
from tests.cloud.conftest import ACCOUNT, enforced, login

BUCKET = "cxm-medtech-landing-ssen27"
KEY = "raw/olist/olist_orders_dataset/20261122_101500/olist_orders_dataset.csv"
TRUST = aws_items.Trust("arn:aws:iam::999999999999:user/snowflake", "CXM_SFCRole=1_abc")
NAMES = aws_items.Names(ACCOUNT, "")
PAGES = aws_items.Pages(f"{BUCKET}/docs/", 90)

PLACES = ("s3://clinic-exports/olist", "s3://clinic-exports/tickets.zip", "s3://surveys/", "sftp://clinic@files/out")
DOCUMENTS = {
    "landing": policies.landing(BUCKET),
    "landing-with-sources": policies.landing(BUCKET, PLACES),
    "landing-with-sources-done": policies.landing(BUCKET, PLACES, "done"),
    "landing-with-sources-deleted": policies.landing(BUCKET, PLACES, "delete"),
    "landing-with-events": policies.landing(
        BUCKET, ("s3://clinic-exports/in",), "done", [f"arn:aws:sqs:us-east-1:{ACCOUNT}:cxm-medtech-inbox-olist"]
    ),
    "provision-plan-with-events": policies.provision_plan(BUCKET, ACCOUNT, "clinic-exports"),
    "provision-apply-with-events": policies.provision_apply(BUCKET, ACCOUNT, "clinic-exports"),
    "snowflake-read": policies.snowflake_read(BUCKET),
    "provision-plan": policies.provision_plan(BUCKET, ACCOUNT),
    "provision-apply": policies.provision_apply(BUCKET, ACCOUNT),
}


def refused(call: Callable[..., Any], **arguments: Any) -> bool:
    """Call it; return whether IAM refuses."""
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDenied", "403"):
            return True
        raise
    return False


def items(holds: bool = True, principal: str | None = None) -> list[provision.Item]:
    """Return the plan's items for AWS in its present state."""
    client, iam = boto3.client("s3"), boto3.client("iam")
    return [
        *aws_items.bucket_items(client, BUCKET, "us-east-1", True, ["olist", "synthetic"], PAGES),
        *aws_items.ingestion_items(iam, NAMES, BUCKET, principal, lambda _: holds),
        *aws_items.storage_items(iam, NAMES, BUCKET, TRUST),
    ]


def make(principal: str | None = None, **login_: str) -> dict[str, str]:
    """Provision the account as a user with these keys (moto's root without); return the ingestion user's key."""
    saved: dict[str, str] = {}
    clients = {name: boto3.client(name, **login_) for name in ("s3", "iam", "sts")}  # type: ignore[call-overload]
    cloud = provision.Cloud(**clients, save_key=lambda i, s: saved.update(aws_access_key_id=i, aws_secret_access_key=s))
    result = [
        *aws_items.bucket_items(clients["s3"], BUCKET, "us-east-1", True, ["olist", "synthetic"], PAGES),
        *aws_items.ingestion_items(clients["iam"], NAMES, BUCKET, principal, lambda _: False),
        *aws_items.storage_items(clients["iam"], NAMES, BUCKET, TRUST),
    ]
    provision._do(result, cloud, None, lambda _: None)
    return saved


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_policy_document_has_no_findings_of_the_linter(name: str) -> None:
    findings = parliament.analyze_policy_string(json.dumps(DOCUMENTS[name])).findings

    # An identity that makes the bucket must write its policy, and could let itself in by it: it is an administrator.
    known = {"RESOURCE_POLICY_PRIVILEGE_ESCALATION"} if name.startswith("provision-apply") else set()
    assert [f"{f.issue}: {f.detail}" for f in findings if f.issue not in known] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_policy_files_for_administrators_are_what_the_code_grants(name: str) -> None:
    text = (PROJECT / "architecture" / "iam" / f"{name}.json").read_text()

    assert json.loads(text) == json.loads(json.dumps(DOCUMENTS[name]).replace(ACCOUNT, "<account>"))


def test_a_second_run_finds_nothing_to_do(aws: None) -> None:
    make()

    assert [(i.kind, i.name, i.why) for i in items() if i.action != "unchanged"] == []


def assumed() -> dict[str, str]:
    """Return boto3's login arguments of a run that assumes the ingestion role, as a task on ECS does; no user exists then."""
    assert make("arn:aws:iam::123456789012:role/runs") == {}
    users = {user["UserName"] for user in boto3.client("iam").list_users()["Users"]}
    assert NAMES.user not in users
    role = NAMES.arn("role", NAMES.ingestion_role)
    given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="run")["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


@pytest.mark.parametrize("log_in", [make, assumed], ids=["user", "role"])
def test_the_ingestion_identity_can_do_what_landing_and_archiving_call_for(
    log_in: Callable[[], dict[str, str]], aws: None
) -> None:
    client = boto3.client("s3", **log_in())  # type: ignore[arg-type]
    archived = KEY.replace("raw/", "archive/", 1)

    def run() -> None:
        for key, data in ((KEY, b"a,b\n1,2\n"), (f"{KEY}.large", bytes(PART_BYTES + 1))):  # one PUT, and one in parts
            upload = Upload(client, BUCKET, key, "text/csv", {"batch": "20261122_101500"})
            upload.write(data)
            upload.end()
            upload.wait()
            assert upload.finish({})
        assert s3.keys(client, BUCKET, "raw/olist/") == {KEY: 8, f"{KEY}.large": PART_BYTES + 1}
        s3.move(client, BUCKET, KEY, archived)
        s3.delete(client, BUCKET, [KEY])
        assert list(s3.keys(client, BUCKET, "archive/")) == [archived]

    enforced(run)


BEYOND: list[tuple[str, str, dict[str, Any]]] = [
    ("s3", "delete_bucket", {}),
    ("s3", "put_bucket_policy", {"Policy": "{}"}),
    ("s3", "get_bucket_policy", {}),
    ("s3", "put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ("s3", "put_object", {"Key": "elsewhere/file.csv", "Body": b""}),
    ("s3", "get_object", {"Key": "elsewhere/file.csv"}),
    ("s3", "delete_object", {"Key": "elsewhere/file.csv"}),
    ("s3", "list_objects_v2", {"Prefix": "elsewhere/"}),
    ("s3", "put_object_acl", {"Key": KEY, "ACL": "public-read"}),
    ("s3", "put_object_tagging", {"Key": KEY, "Tagging": {"TagSet": []}}),
    ("s3", "put_object", {"Bucket": "another-bucket", "Key": KEY, "Body": b""}),
    ("s3", "get_object", {"Bucket": "another-bucket", "Key": KEY}),
    ("s3", "list_objects_v2", {"Bucket": "another-bucket", "Prefix": "raw/"}),
    ("s3", "create_bucket", {"Bucket": "a-third-bucket"}),
    ("iam", "create_access_key", {"UserName": "cxm-medtech-ingestion"}),
    (
        "iam",
        "attach_user_policy",
        {"UserName": "cxm-medtech-ingestion", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    ),
    ("iam", "list_users", {}),
]


@pytest.mark.parametrize("log_in", [make, assumed], ids=["user", "role"])
def test_the_ingestion_identity_can_do_nothing_else(log_in: Callable[[], dict[str, str]], aws: None) -> None:
    key = log_in()
    boto3.client("s3").create_bucket(Bucket="another-bucket")
    clients: dict[str, Any] = {"s3": boto3.client("s3", **key), "iam": boto3.client("iam", **key)}

    def run() -> list[tuple[str, dict[str, Any]]]:
        return [
            (operation, arguments)
            for service, operation, arguments in BEYOND
            if not refused(
                getattr(clients[service], operation),
                **({"Bucket": BUCKET, **arguments} if service == "s3" else arguments),
            )
        ]

    assert enforced(run) == []


@pytest.mark.parametrize("log_in", [make, assumed], ids=["user", "role"])
def test_the_ingestion_identity_reads_source_places_and_nothing_beside_them(
    log_in: Callable[..., dict[str, str]], aws: None
) -> None:
    from flows.clients import s3_place
    from tests.unit.test_places import CONTENT, in_zip

    admin = boto3.client("s3")
    for bucket in ("clinic-exports", "surveys"):
        admin.create_bucket(Bucket=bucket)
    archive = in_zip(Path(tempfile.mkdtemp()), "kits.csv", CONTENT).read_bytes()
    for key, data in {
        "olist/kits.csv": CONTENT,
        "olist2/kits.csv": b"x",
        "tickets.zip": archive,
        "other.zip": b"x",
    }.items():
        admin.put_object(Bucket="clinic-exports", Key=key, Body=data)
    admin.put_object(Bucket="surveys", Key="nps/kits.csv", Body=CONTENT)
    keys = log_in()
    document = json.dumps(policies.landing(BUCKET, PLACES))
    boto3.client("iam").create_policy_version(
        PolicyArn=NAMES.arn("policy", NAMES.landing_policy), PolicyDocument=document, SetAsDefault=True
    )
    client = boto3.client("s3", **keys)  # type: ignore[arg-type]

    def run() -> None:
        for address in ("clinic-exports/olist", "clinic-exports/tickets.zip", "surveys/nps"):
            with (s3_place.place(client, f"s3://{address}") / "kits.csv").open() as opened:
                assert opened.file.read() == CONTENT
                opened.refuse_changed()
        for address in ("clinic-exports/olist2", "clinic-exports", "clinic-exports/other.zip"):
            with pytest.raises(ConfigurationError, match="may not read it; name the place in CXM_SOURCE_PLACES"):
                s3_place.place(client, f"s3://{address}")
        for arguments in ({"Key": "olist2/kits.csv"}, {"Key": "other.zip"}):
            assert refused(client.get_object, Bucket="clinic-exports", **arguments)
        assert refused(client.put_object, Bucket="clinic-exports", Key="olist/new.csv", Body=b"")
        assert refused(client.delete_object, Bucket="surveys", Key="nps/kits.csv")

    enforced(run)


@pytest.mark.parametrize("after", ["left", "done", "delete"])
def test_an_inbox_may_clear_source_places_as_far_as_the_setting_asks_for(
    after: After, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are moved within their place, in a place of all sources within each source's folder, and an archive beside itself;
    nothing else may be written or deleted."""
    from flows import blocks
    from flows.clients import s3_place
    from tests.unit.test_places import CONTENT, in_zip

    admin = boto3.client("s3")
    for bucket in ("clinic-exports", "surveys"):
        admin.create_bucket(Bucket=bucket)
    archive = in_zip(Path(tempfile.mkdtemp()), "kits.csv", CONTENT).read_bytes()
    objects = {"olist/kits.csv": CONTENT, "olist/day/kits.csv": CONTENT, "tickets.zip": archive, "kits.csv": b"x"}
    for key, data in objects.items():
        admin.put_object(Bucket="clinic-exports", Key=key, Body=data)
    keys = make()
    document = json.dumps(policies.landing(BUCKET, PLACES, after))
    boto3.client("iam").create_policy_version(
        PolicyArn=NAMES.arn("policy", NAMES.landing_policy), PolicyDocument=document, SetAsDefault=True
    )
    client = boto3.client("s3", **keys)  # type: ignore[call-overload]
    monkeypatch.setattr(blocks, "s3_client", lambda _: client)

    def clear(address: str, folder: str) -> int:
        place = s3_place.place(client, f"s3://clinic-exports/{address}")
        return place.dispose(place.entries(), folder)

    def run() -> None:
        places = ("olist", "olist/day", "tickets.zip")
        if after == "left":
            for address in places:
                with pytest.raises(ConfigurationError, match="may not move or delete it; set CXM_INBOX_AFTER"):
                    clear(address, "done/b1")
        else:
            assert [clear(address, "done/b1" * (after == "done")) for address in places] == [1, 1, 1]
        assert refused(client.delete_object, Bucket="clinic-exports", Key="kits.csv")
        for key in ("kits.csv", "olist/new.csv", "tickets.zip", *(["done/x"] * (after != "done"))):
            assert refused(client.put_object, Bucket="clinic-exports", Key=key, Body=b"")

    enforced(run)
    left = {o["Key"] for o in admin.list_objects_v2(Bucket="clinic-exports").get("Contents", [])}
    moved = {"olist/done/b1/kits.csv", "olist/day/done/b1/kits.csv", "done/b1/tickets.zip"}
    assert left == (set(objects) if after == "left" else {"kits.csv", *(moved if after == "done" else ())})


@pytest.mark.parametrize("given", ["left", "done"])
def test_doctor_says_that_an_inbox_may_not_clear_a_place(
    given: After, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import blocks, doctor

    boto3.client("s3").create_bucket(Bucket="surveys")
    client = boto3.client("s3", **login("runs", policies.landing(BUCKET, ("s3://surveys/nps",), given)))
    monkeypatch.setattr(blocks, "s3_client", lambda _: client)
    settings = Settings(source_places=("s3://surveys/nps",), inbox_after="done")

    got = enforced(lambda: list(doctor.places(settings)))

    assert [one.status for one in got] == ["ok", "ok" if given == "done" else "fail"]
    assert got[1].found == (
        "s3:PutObject, s3:DeleteObject" if given == "done" else "lacks s3:PutObject, s3:DeleteObject"
    )
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="surveys")
    assert len(list(doctor.places(settings.model_copy(update={"inbox_after": "left"})))) == 1


def test_snowflake_can_read_raw_and_neither_write_nor_see_the_archive(aws: None) -> None:
    make()
    boto3.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=b"x")
    client = boto3.client("s3", **login("snowflake", policies.snowflake_read(BUCKET)))

    def run() -> list[bool]:
        assert client.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"x"
        assert client.list_objects_v2(Bucket=BUCKET, Prefix="raw/olist/")["KeyCount"] == 2
        return [
            refused(client.put_object, Bucket=BUCKET, Key=KEY, Body=b"y"),
            refused(client.delete_object, Bucket=BUCKET, Key=KEY),
            refused(client.list_objects_v2, Bucket=BUCKET, Prefix="archive/"),
            refused(client.get_object, Bucket=BUCKET, Key="archive/"),
        ]

    assert enforced(run) == [True] * 4


def test_an_administrator_with_the_apply_policy_can_provision_twice(aws: None) -> None:
    keys = login("admin", policies.provision_apply(BUCKET, ACCOUNT))

    def run() -> None:
        make(**keys)
        make(**keys)

    enforced(run)

    assert [i.name for i in items() if i.action != "unchanged"] == []


def test_an_administrator_with_the_plan_policy_can_plan_and_not_apply(aws: None) -> None:
    make()
    boto3.client("s3").delete_public_access_block(Bucket=BUCKET)
    keys = login("planner", policies.provision_plan(BUCKET, ACCOUNT))
    client = boto3.client("s3", **keys)

    def run() -> tuple[list[provision.Item], bool]:
        got = list(aws_items.bucket_items(client, BUCKET, "us-east-1", True, ["olist", "synthetic"], PAGES))
        got += aws_items.ingestion_items(boto3.client("iam", **keys), NAMES, BUCKET, None, lambda _: True)
        return got, refused(client.delete_public_access_block, Bucket=BUCKET)

    got, no = enforced(run)
    assert [i.kind for i in got if i.action != "unchanged"] == ["public access block"]
    assert no


def test_a_bucket_with_a_kms_key_is_refused_since_the_policies_give_no_rights_on_it(aws: None) -> None:
    make()
    client = boto3.client("s3")
    key = "arn:aws:kms:us-east-1:123456789012:key/abc"
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}
    client.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})  # type: ignore[list-item]

    with pytest.raises(ConfigurationError, match=r"aws:kms with key .*key/abc, expected AES256"):
        list(aws_items.bucket_items(client, BUCKET, "us-east-1", True, ["olist"], PAGES))


def test_drift_in_aws_is_shown_in_the_plan_and_repaired(aws: None) -> None:
    make()
    client, iam = boto3.client("s3"), boto3.client("iam")
    closed = {**aws_items.BLOCKED, "BlockPublicPolicy": False}
    client.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=closed)
    client.delete_bucket_policy(Bucket=BUCKET)
    client.delete_bucket_lifecycle(Bucket=BUCKET)
    policy = NAMES.arn("policy", NAMES.landing_policy)
    iam.create_policy_version(
        PolicyArn=policy, PolicyDocument=json.dumps(policies.snowflake_read("x")), SetAsDefault=True
    )
    iam.detach_user_policy(UserName=NAMES.user, PolicyArn=policy)
    iam.create_login_profile(UserName=NAMES.user, Password="A-long-password-1")
    iam.update_assume_role_policy(
        RoleName=NAMES.storage_role, PolicyDocument=json.dumps(policies.storage_trust(TRUST.user_arn, "old"))
    )

    got = {(i.kind, i.action) for i in items() if i.action != "unchanged"}

    assert got == {
        ("public access block", "changed"),
        ("bucket policy", "changed"),
        ("lifecycle", "changed"),
        ("policy", "changed"),
        ("user policy", "created"),
        ("console password", "removed"),
        ("role", "changed"),
    }
    assert any("BlockPublicPolicy off" in i.why for i in items())
    make()
    assert [i.name for i in items() if i.action != "unchanged"] == []


def test_no_rule_of_the_bucket_deletes_what_landed_since_maintenance_does_and_writes_it_down(aws: None) -> None:
    make()
    rules = boto3.client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [r["ID"] for r in rules if "Expiration" in r or "NoncurrentVersionExpiration" in r] == [
        "cxm-docs-expiration"
    ]


def test_what_others_wrote_into_bucket_policy_and_lifecycle_stays(aws: None) -> None:
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    other = {"Sid": "Audit", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
             "Action": "s3:GetBucketLocation", "Resource": f"arn:aws:s3:::{BUCKET}"}  # fmt: skip
    client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [other]}))
    rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 3}}
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [rule]})

    make()

    statements = json.loads(client.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert [s["Sid"] for s in statements] == ["Audit", "TlsOnly"]
    rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [r["ID"] for r in rules] == [
        "theirs",
        "cxm-abort-incomplete-uploads",
        "cxm-archive-transition",
        "cxm-docs-expiration",
    ]


def test_pages_are_kept_for_as_long_as_the_setting_says_and_a_rule_for_them_reaches_nothing_else(aws: None) -> None:
    make()
    client = boto3.client("s3")
    longer = aws_items.Pages(f"{BUCKET}/docs/", 365)
    got = list(aws_items.bucket_items(client, BUCKET, "us-east-1", True, [], longer))
    assert [i.why for i in got if i.kind == "lifecycle"] == ["rules that are missing or differ: cxm-docs-expiration"]
    rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert [(r["Filter"]["Prefix"], r["Expiration"]["Days"]) for r in rules if "Expiration" in r] == [("docs/", 90)]
    assert aws_items.Pages("another/docs/", 90).rule(BUCKET) == aws_items.Pages(f"{BUCKET}/", 90).rule(BUCKET) == ()


@pytest.mark.parametrize("prefix", ["", "/", "/raw/pages", "/archive/"])
def test_a_docs_place_over_what_landed_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="CXM_DOCS_PLACE: expected a prefix of its own"):
        Settings(target="snowflake", docs_place=f"s3://{BUCKET}{prefix}")


def test_a_link_opens_the_page_in_the_console_or_on_the_users_own_site() -> None:
    """The address that the console shows for an object of a bucket: it asks for a login and does not expire."""
    page = data_docs("olist", "20261127_120000")
    place = DocsPlace.of(Settings(target="snowflake", bucket=BUCKET, aws_region="eu-central-1"))
    assert place is not None
    assert place.link(page) == (
        f"https://eu-central-1.console.aws.amazon.com/s3/object/{BUCKET}?region=eu-central-1"
        "&prefix=docs/olist/20261127_120000/data_docs/index.html"
    )
    own = DocsPlace.of(
        Settings(target="snowflake", docs_place="s3://pages/of/cxm", docs_url="https://docs.example.org/cxm/")
    )
    assert own is not None
    assert (own.bucket, own.prefix) == ("pages", "of/cxm/")
    assert own.link(page) == "https://docs.example.org/cxm/olist/20261127_120000/data_docs/index.html"
    assert DocsPlace.of(Settings(target="embedded")) is None


def test_a_run_writes_pages_in_the_docs_place_and_can_delete_none(aws: None) -> None:
    client = boto3.client("s3", **make())  # type: ignore[call-overload]

    def run() -> None:
        s3_pages.publish(client, BUCKET, {"docs/olist/1/data_docs/index.html": b"<p>", "docs/a.css": b"p {}"})
        assert s3_pages.exists(client, BUCKET, "docs/a.css")
        assert not s3_pages.exists(client, BUCKET, "docs/other.html")
        assert refused(client.delete_object, Bucket=BUCKET, Key="docs/a.css")
        with pytest.raises(ConfigurationError, match=r"pages/a\.html: S3 answered AccessDenied"):
            s3_pages.publish(client, BUCKET, {"pages/a.html": b"<p>"})

    enforced(run)
    page = boto3.client("s3").get_object(Bucket=BUCKET, Key="docs/olist/1/data_docs/index.html")
    assert page["ContentType"] == "text/html; charset=utf-8"


def test_the_secret_is_in_the_store_and_nowhere_else(aws: None) -> None:
    got = [i for i in items(holds=False) if i.kind == "access key"]
    text = provision.Plan(tuple(items(holds=False))).text()
    secret = make()["aws_secret_access_key"]

    assert secret
    assert secret not in text
    assert got[0].steps[0].secret  # type: ignore[union-attr]


def test_a_bucket_in_another_region_is_refused_with_the_fix(aws: None) -> None:
    boto3.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )  # fmt: skip

    with pytest.raises(Exception, match=r"got region eu-central-1, expected us-east-1.*CXM_AWS_REGION=eu-central-1"):
        items()


def test_another_environment_has_names_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXM_ENV", "dev")
    settings = Settings()
    names = aws_items.Names.of(settings, ACCOUNT)

    assert (settings.bucket, settings.database, settings.warehouse) == (
        f"{BUCKET}-dev",
        "CXM_MEDTECH_DEV",
        "WH_CXM_DEV",
    )
    assert (settings.loader_role, settings.storage_integration) == ("CXM_LOADER_DEV", "CXM_S3_INTEGRATION_DEV")
    assert (names.user, names.landing_policy) == ("cxm-medtech-ingestion-dev", "CXMMedTechLandingS3Access-dev")
    monkeypatch.setenv("CXM_ENV", "prod")
    assert Settings().database == "CXM_MEDTECH"
