"""Taking an environment down: what would be lost is listed, data goes only when it is named, production never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from flows.clients.snowflake import run
from flows.errors import ConfigurationError, DataError
from flows.settings import Settings
from flows.steps import provision
from tests.cloud.test_plan import SOURCE
from tests.embedded.conftest import Warehouse


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = Warehouse(tmp_path_factory.mktemp("account") / "state").start()
    with server.connect(role="ACCOUNTADMIN", paramstyle="numeric") as connection:
        yield connection
    server.stop()


def test_a_dev_environment_goes_whole_and_its_data_only_by_name(
    aws: None, account: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXM_ENV", "dev")
    settings = Settings(home=tmp_path, target="snowflake")
    saved: list[str] = []
    clients = {name: boto3.client(name) for name in ("s3", "iam", "sts")}  # type: ignore[call-overload]
    cloud = provision.Cloud(**clients, save_key=lambda key, _: saved.append(key))
    for _ in range(2):
        plan = provision.make_plan(cloud, account, settings, [SOURCE])
        provision.apply(plan, cloud, None or account, settings, [])
    run(account, "INSERT INTO CXM_MEDTECH_DEV.RAW.T_CASES (CASE_ID) VALUES ('1')")
    clients["s3"].put_object(Bucket=settings.bucket, Key="raw/t/t.csv", Body=b"x")

    plan = provision.make_destroy_plan(cloud, account, settings)
    text = plan.text()
    assert "holds" not in text
    assert "-- database CXM_MEDTECH_DEV: RAW.T_CASES 1 rows" in text
    assert "-- bucket cxm-medtech-landing-ssen27-dev: 1 objects, 1 bytes" in text
    with pytest.raises(DataError, match=r"CXM_MEDTECH_DEV holds RAW.T_CASES 1 rows.*--drop-with-data CXM_MEDTECH_DEV"):
        provision.destroy(plan, cloud, account, [settings.bucket])
    assert provision.make_destroy_plan(cloud, account, settings).counts == plan.counts

    provision.destroy(plan, cloud, account, [settings.bucket, settings.database])

    assert provision.make_destroy_plan(cloud, account, settings).todo == ()
    assert clients["iam"].list_users()["Users"] == []
    assert saved


def test_production_is_not_taken_down(account: Any, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, target="snowflake")

    with pytest.raises(ConfigurationError, match="got prod, expected a test environment"):
        provision.make_destroy_plan(provision.Cloud(None), account, settings)
