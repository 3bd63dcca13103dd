"""Who may log in to the embedded warehouse: its first users and those made later, each with its password or key."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from snowflake.connector.errors import DatabaseError, ProgrammingError

from flows.embedded import home_secrets
from flows.errors import ConfigurationError
from flows.settings import Settings
from tests.embedded.conftest import Warehouse

LOADER, TRANSFORMER, READER = "CXM_LOADER_SVC", "CXM_TRANSFORMER_SVC", "CXM_READER_SVC"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with its secrets, made with umask 0."""
    before = os.umask(0)
    try:
        settings = Settings(home=tmp_path_factory.mktemp("logins") / "home")
        home_secrets.ensure(settings)
    finally:
        os.umask(before)
    return settings


@pytest.fixture(scope="module")
def server(home: Settings) -> Iterator[Warehouse]:
    server = Warehouse(home.home / "warehouse", users=home.home / "secrets" / "warehouse.json").start()
    with server.connect() as admin:
        for role in (home.loader_role, home.transformer_role, home.reporter_role):
            admin.cursor().execute(f"CREATE ROLE {role}")
    yield server
    server.stop()


def passwords(settings: Settings) -> dict[str, str]:
    return {user: password.get_secret_value() for user, password in settings.warehouse_logins.items()}


def test_nobody_else_may_read_the_secrets_whatever_the_umask_is(home: Settings) -> None:
    assert {p.name for p in (home.home / "secrets").iterdir()} >= {"s3.json", "prefect.auth", "warehouse.json"}
    for path in (home.home, home.home / "secrets"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (home.home / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_secrets_are_made_once_and_a_file_that_others_could_read_is_closed_again(home: Settings) -> None:
    files = list((home.home / "secrets").iterdir())
    before = {p: p.read_bytes() for p in files}
    for path in files:
        path.chmod(0o644)
    home_secrets.ensure(home)
    assert {p: p.read_bytes() for p in files} == before
    assert {stat.S_IMODE(p.stat().st_mode) for p in files} == {0o600}


def test_two_homes_share_no_secret(home: Settings, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other")
    home_secrets.ensure(other)
    assert not set(passwords(home).values()) & set(passwords(other).values())
    assert home.prefect_auth != other.prefect_auth
    assert len(set(passwords(home).values())) == len(passwords(home))


def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    home_secrets.ensure(settings)
    path = settings.home / "secrets" / "warehouse.json"
    path.write_text('{"users": 7}')
    with pytest.raises(ConfigurationError, match=r"warehouse\.json: expected the warehouse's users"):
        home_secrets.ensure(settings)
    assert path.read_text() == '{"users": 7}'


@pytest.mark.parametrize("password", ["embedded", "", "None", "x" * 5000])
@pytest.mark.parametrize("user", ["NOBODY", "EMBEDDED", "CXM_EMBEDDED", TRANSFORMER, "ACCOUNTADMIN", ""])
def test_neither_an_unknown_user_nor_a_wrong_password_gets_in(server: Warehouse, user: str, password: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        server.connect(user=user, password=password)
    if user and password:
        assert "Incorrect username or password" in str(refused.value)
        assert "cxm env" in str(refused.value)


@pytest.mark.parametrize(
    ("user", "role"), [(LOADER, "CXM_LOADER"), (TRANSFORMER, "CXM_TRANSFORMER"), (READER, "CXM_REPORTER")]
)
def test_each_service_user_has_its_own_role_and_no_other(
    server: Warehouse, home: Settings, user: str, role: str
) -> None:
    with server.connect(user=user, password=passwords(home)[user]) as connection:
        cursor = connection.cursor()
        shown = cursor.execute("SELECT CURRENT_USER(), CURRENT_ROLE(), CURRENT_SECONDARY_ROLES()").fetchone()
        assert shown[:2] == (user, role)
        for other in {"ACCOUNTADMIN", "SYSADMIN", "CXM_LOADER", "CXM_TRANSFORMER", "CXM_REPORTER"} - {role}:
            with pytest.raises(ProgrammingError, match="is not assigned to the executing user"):
                cursor.execute(f"USE ROLE {other}")
        cursor.execute("USE SECONDARY ROLES ALL")
        with pytest.raises(ProgrammingError, match="Insufficient privileges"):
            cursor.execute("CREATE DATABASE MINE")
    with pytest.raises(DatabaseError, match="not exist or not authorized"):
        server.connect(user=user, password=passwords(home)[user], role="ACCOUNTADMIN")


def test_another_homes_password_is_refused_with_whose_warehouse_this_is(
    server: Warehouse, home: Settings, tmp_path: Path
) -> None:
    other = Settings(home=tmp_path / "clone2" / ".cxm")
    home_secrets.ensure(other)
    with pytest.raises(DatabaseError) as refused:
        server.connect(user=TRANSFORMER, password=passwords(other)[TRANSFORMER])
    said = str(refused.value)
    assert f"this warehouse belongs to {home.home}" in said
    assert 'eval "$(cxm env)"' in said
    assert passwords(home)[TRANSFORMER] not in said


def test_a_first_user_cannot_be_made_anew_with_another_password(server: Warehouse, home: Settings) -> None:
    with server.connect() as admin:
        with pytest.raises(ProgrammingError, match="already exists"):
            admin.cursor().execute("CREATE USER CXM_EMBEDDED PASSWORD = 'mine'")
        admin.cursor().execute("CREATE OR REPLACE USER CXM_EMBEDDED PASSWORD = 'mine'")
        admin.cursor().execute("CREATE USER SHE PASSWORD = 'hers'")
    with pytest.raises(DatabaseError, match="Incorrect"):
        server.connect(user="CXM_EMBEDDED", password="mine")
    with server.connect(user="SHE", password="hers") as she:
        assert she.cursor().execute("SELECT CURRENT_ROLE()").fetchone() == ("PUBLIC",)
        with pytest.raises(ProgrammingError, match="is not assigned"):
            she.cursor().execute("USE ROLE ACCOUNTADMIN")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        server.connect(user="CXM_EMBEDDED", private_key=key, password=None, authenticator="SNOWFLAKE_JWT")


def test_passwords_stand_in_no_argument_file_or_log_of_the_server(server: Warehouse, home: Settings) -> None:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    said = " ".join([*process.cmdline(), *process.environ().values(), server.log()]).encode()
    files = [p for p in (home.home / "warehouse").rglob("*") if p.is_file()]
    places = {"process and log": said, **{str(p): p.read_bytes() for p in files}}
    got = [
        place for place, text in places.items() for password in passwords(home).values() if password.encode() in text
    ]
    assert got == []


def test_a_role_of_another_environment_joins_those_of_its_user(home: Settings, server: Warehouse) -> None:
    dev = Settings(home=home.home, env="dev")
    home_secrets.ensure(dev)
    users = json.loads((home.home / "secrets" / "warehouse.json").read_text())["users"]
    assert users[TRANSFORMER]["roles"] == ["CXM_TRANSFORMER", "CXM_TRANSFORMER_DEV"]
    with server.connect(role="ACCOUNTADMIN") as admin:
        admin.cursor().execute("CREATE ROLE CXM_TRANSFORMER_DEV")
    with server.connect(user=TRANSFORMER, password=passwords(home)[TRANSFORMER], role="CXM_TRANSFORMER_DEV") as dbt:
        assert dbt.cursor().execute("SELECT CURRENT_ROLE()").fetchone() == ("CXM_TRANSFORMER_DEV",)
