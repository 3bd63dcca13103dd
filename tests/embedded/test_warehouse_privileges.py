"""Who may do what: roles, grants, logins. The roles are like those that the pipeline provisions."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from snowflake.connector.errors import DatabaseError, ProgrammingError

from tests.embedded.conftest import Warehouse


class Cast:
    """A database with RAW and MARTS, and the roles that work on it; `suffix` keeps tests apart on one server."""

    def __init__(self, warehouse: Warehouse, database: str) -> None:
        self.warehouse, self.database = warehouse, database
        self.suffix = secrets.token_hex(3).upper()
        self.loader, self.reporter = f"LOADER_{self.suffix}", f"REPORTER_{self.suffix}"
        with warehouse.connect(database=database) as admin:
            for sql in (
                "CREATE SCHEMA RAW", "CREATE SCHEMA MARTS", f"CREATE ROLE {self.loader}", f"CREATE ROLE {self.reporter}",
                "CREATE TABLE MARTS.FACTS (A INT)", "INSERT INTO MARTS.FACTS VALUES (1)",
                "CREATE TABLE RAW.SECRETS AS SELECT 'x' AS V", "CREATE VIEW MARTS.SHOWN AS SELECT V FROM RAW.SECRETS",
                f"GRANT USAGE ON DATABASE {database} TO ROLE {self.loader}",
                f"GRANT USAGE, CREATE TABLE ON SCHEMA RAW TO ROLE {self.loader}",
                f"GRANT USAGE ON SCHEMA MARTS TO ROLE {self.loader}",
                f"GRANT SELECT ON ALL TABLES IN SCHEMA MARTS TO ROLE {self.loader}",
                f"GRANT USAGE ON DATABASE {database} TO ROLE {self.reporter}",
                f"GRANT USAGE ON SCHEMA MARTS TO ROLE {self.reporter}",
                f"GRANT SELECT ON ALL TABLES IN SCHEMA MARTS TO ROLE {self.reporter}",
                f"GRANT SELECT ON ALL VIEWS IN SCHEMA MARTS TO ROLE {self.reporter}",
            ):  # fmt: skip
                admin.cursor().execute(sql)

    def connect(self, role: str, **options: Any) -> Any:
        return self.warehouse.connect(role=role, database=self.database, **options)


@pytest.fixture
def cast(warehouse: Warehouse, database: str) -> Cast:
    return Cast(warehouse, database)


def refused(connection: Any, sql: str) -> str:
    """Run a statement that has to be an access error; return its message."""
    with pytest.raises(ProgrammingError) as error:
        connection.cursor().execute(sql)
    assert (error.value.errno, error.value.sqlstate) == (3001, "42501")
    assert "SQL access control error" in error.value.msg
    return str(error.value.msg)


def test_the_loader_makes_and_fills_tables_in_raw_and_cannot_write_marts(cast: Cast) -> None:
    with cast.connect(cast.loader) as loader:
        cursor = loader.cursor()
        cursor.execute("CREATE TABLE RAW.ORDERS (A INT)")
        cursor.execute("INSERT INTO RAW.ORDERS VALUES (1)")
        cursor.execute("UPDATE RAW.ORDERS SET A = 2")
        assert cursor.execute("SELECT F.A FROM MARTS.FACTS F").fetchall() == [(1,)]
        assert "Insufficient privileges to operate on table 'FACTS'" in refused(
            loader, "INSERT INTO MARTS.FACTS VALUES (2)"
        )
        for sql in (
            "UPDATE MARTS.FACTS SET A = 2", "DELETE FROM MARTS.FACTS", "TRUNCATE TABLE MARTS.FACTS", "DROP TABLE MARTS.FACTS",
            "ALTER TABLE MARTS.FACTS ADD COLUMN B INT", "CREATE OR REPLACE TABLE MARTS.FACTS (B INT)",
            "CREATE TABLE MARTS.NEW (A INT)",
            "CREATE VIEW RAW.V AS SELECT 1 AS A", "INSERT OVERWRITE INTO MARTS.FACTS SELECT 2", "SELECT * FROM RAW.SECRETS",
            "INSERT INTO RAW.ORDERS SELECT 1 FROM RAW.SECRETS", "CREATE TABLE RAW.COPY AS SELECT * FROM RAW.SECRETS",
            "SELECT (SELECT MAX(V) FROM RAW.SECRETS)", "WITH C AS (SELECT * FROM RAW.SECRETS) SELECT * FROM C",
            "MERGE INTO MARTS.FACTS T USING RAW.ORDERS S ON T.A = S.A WHEN NOT MATCHED THEN INSERT (A) VALUES (S.A)",
            "COPY INTO RAW.SECRETS FROM @RAW.NO_STAGE", "COMMENT ON TABLE MARTS.FACTS IS 'mine'", "CREATE SCHEMA MORE",
            "DROP SCHEMA MARTS",
            f"DROP DATABASE {cast.database}", "CREATE DATABASE MORE", "CREATE ROLE MORE", "CREATE WAREHOUSE MORE",
            f"GRANT SELECT ON TABLE MARTS.FACTS TO ROLE {cast.reporter}", f"GRANT ROLE ACCOUNTADMIN TO ROLE {cast.loader}",
            "DESC TABLE RAW.SECRETS", "CREATE FILE FORMAT RAW.F TYPE = CSV", "CREATE STAGE RAW.S URL = 's3://x/'",
        ):  # fmt: skip
            refused(loader, sql)
    with cast.warehouse.connect() as admin:
        assert admin.cursor().execute(f"SELECT * FROM {cast.database}.MARTS.FACTS").fetchall() == [(1,)]


def test_the_reporter_reads_marts_through_views_too_and_cannot_read_raw(cast: Cast) -> None:
    with cast.connect(cast.reporter, schema="MARTS") as reporter:
        assert reporter.cursor().execute("SELECT * FROM FACTS").fetchall() == [(1,)]
        # a view is read with its owner's rights
        assert reporter.cursor().execute("SELECT * FROM SHOWN").fetchall() == [("x",)]
        assert "Insufficient privileges to operate on schema 'RAW'" in refused(reporter, "SELECT * FROM RAW.SECRETS")
        assert [row[1] for row in reporter.cursor().execute("SHOW SCHEMAS")] == ["INFORMATION_SCHEMA", "MARTS"]
        assert sorted(row[1] for row in reporter.cursor().execute(f"SHOW OBJECTS IN DATABASE {cast.database}")) == [
            "FACTS",
            "SHOWN",
        ]
        assert reporter.cursor().execute("SHOW TABLES IN SCHEMA MARTS").rowcount == 1


def test_a_grant_works_at_once_and_a_revoke_too(cast: Cast) -> None:
    with cast.connect(cast.loader) as loader, cast.warehouse.connect(database=cast.database) as admin:
        refused(loader, "INSERT INTO MARTS.FACTS VALUES (2)")
        admin.cursor().execute(f"GRANT INSERT ON TABLE MARTS.FACTS TO ROLE {cast.loader}")
        loader.cursor().execute("INSERT INTO MARTS.FACTS VALUES (2)")
        admin.cursor().execute(f"REVOKE INSERT ON TABLE MARTS.FACTS FROM ROLE {cast.loader}")
        refused(loader, "INSERT INTO MARTS.FACTS VALUES (3)")


def test_a_role_has_what_the_roles_below_it_have(cast: Cast) -> None:
    with cast.warehouse.connect() as admin:
        admin.cursor().execute(f"CREATE ROLE CHIEF_{cast.suffix}")
        admin.cursor().execute(f"GRANT ROLE {cast.loader} TO ROLE CHIEF_{cast.suffix}")
    with cast.connect(f"CHIEF_{cast.suffix}") as chief:
        chief.cursor().execute("CREATE TABLE RAW.MINE (A INT)")
    with cast.connect(cast.loader) as loader:
        refused(loader, "DROP TABLE RAW.MINE")


def test_replacing_a_table_takes_its_grants_away_unless_they_are_copied(cast: Cast) -> None:
    with cast.warehouse.connect(database=cast.database) as admin, cast.connect(cast.reporter) as reporter:
        admin.cursor().execute("CREATE OR REPLACE TABLE MARTS.FACTS COPY GRANTS AS SELECT 2 AS A")
        assert reporter.cursor().execute("SELECT A FROM MARTS.FACTS").fetchall() == [(2,)]
        admin.cursor().execute("CREATE OR REPLACE TABLE MARTS.FACTS AS SELECT 3 AS A")
        refused(reporter, "SELECT A FROM MARTS.FACTS")


def test_system_roles_do_their_own_work_only(cast: Cast) -> None:
    tail = cast.suffix
    with cast.warehouse.connect(role="SYSADMIN") as sysadmin:
        sysadmin.cursor().execute(f"CREATE DATABASE S_{tail}")
        sysadmin.cursor().execute(f"CREATE WAREHOUSE S_{tail}")
        refused(sysadmin, f"CREATE ROLE S_{tail}")
        refused(sysadmin, f"CREATE USER S_{tail}")
        sysadmin.cursor().execute(f"DROP DATABASE S_{tail}")
    with cast.warehouse.connect(role="USERADMIN") as useradmin:
        useradmin.cursor().execute(f"CREATE ROLE U_{tail}")
        useradmin.cursor().execute(f"CREATE USER U_{tail}")
        refused(useradmin, f"CREATE DATABASE U_{tail}")
    with cast.warehouse.connect(role="SECURITYADMIN") as securityadmin:
        securityadmin.cursor().execute(f"GRANT ROLE U_{tail} TO ROLE SYSADMIN")
        securityadmin.cursor().execute(f"GRANT SELECT ON TABLE {cast.database}.MARTS.FACTS TO ROLE U_{tail}")


def test_ownership_goes_to_another_role(cast: Cast) -> None:
    with cast.warehouse.connect(database=cast.database) as admin:
        with pytest.raises(ProgrammingError, match="must be revoked"):
            admin.cursor().execute(f"GRANT OWNERSHIP ON TABLE MARTS.FACTS TO ROLE {cast.loader}")
        admin.cursor().execute(f"GRANT OWNERSHIP ON TABLE MARTS.FACTS TO ROLE {cast.loader} COPY CURRENT GRANTS")
    with cast.connect(cast.loader) as loader, cast.connect(cast.reporter) as reporter:
        loader.cursor().execute("ALTER TABLE MARTS.FACTS ADD COLUMN B INT")
        assert reporter.cursor().execute("SELECT A FROM MARTS.FACTS").fetchall() == [(1,)]


def test_a_login_with_a_missing_role_is_refused(warehouse: Warehouse) -> None:
    with pytest.raises(DatabaseError, match="does not exist or not authorized"):
        warehouse.connect(role="NOBODY_MADE_THIS")


def test_a_created_user_gets_only_its_own_roles(cast: Cast) -> None:
    user = f"ANA_{cast.suffix}"
    with cast.warehouse.connect() as admin:
        admin.cursor().execute(
            f"CREATE USER {user} PASSWORD = 'right one' DEFAULT_ROLE = {cast.reporter} DEFAULT_SECONDARY_ROLES = ()"
        )
        admin.cursor().execute(f"GRANT ROLE {cast.reporter} TO USER {user}")
    with cast.warehouse.connect(user=user, password="right one") as ana:
        assert ana.cursor().execute("SELECT CURRENT_USER(), CURRENT_ROLE()").fetchone() == (user, cast.reporter)
        with pytest.raises(ProgrammingError) as error:
            ana.cursor().execute("USE ROLE ACCOUNTADMIN")
        assert error.value.errno == 3013
        assert ana.cursor().execute("SHOW GRANTS").fetchall()[0][1] == cast.reporter
    with pytest.raises(DatabaseError, match="Incorrect username or password"):
        cast.warehouse.connect(user=user, password="wrong one")
    with pytest.raises(DatabaseError, match="does not exist or not authorized"):
        cast.warehouse.connect(user=user, password="right one", role=cast.loader)


def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(private: rsa.RSAPrivateKey) -> str:
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "".join(pem.decode().splitlines()[1:-1])


def der(private: rsa.RSAPrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_a_service_user_logs_in_with_its_key_and_with_no_other(cast: Cast) -> None:
    user, right, second, wrong = f"SVC_{cast.suffix}", key(), key(), key()
    with cast.warehouse.connect() as admin:
        admin.cursor().execute(
            f"CREATE USER {user} TYPE = SERVICE RSA_PUBLIC_KEY = '{public(right)}' DEFAULT_ROLE = {cast.loader}"
        )
        admin.cursor().execute(f"GRANT ROLE {cast.loader} TO USER {user}")
        shown = {row[0]: row[1] for row in admin.cursor().execute(f"DESC USER {user}")}
        assert shown["RSA_PUBLIC_KEY_FP"].startswith("SHA256:")
        assert shown["TYPE"] == "SERVICE"

    def log_in(private: rsa.RSAPrivateKey, name: str = user) -> Any:
        return cast.warehouse.connect(user=name, private_key=der(private), authenticator="SNOWFLAKE_JWT", password=None)

    with log_in(right) as connection:
        assert connection.cursor().execute("SELECT CURRENT_USER(), CURRENT_ROLE()").fetchone() == (user, cast.loader)
    for attempt in (lambda: log_in(wrong), lambda: log_in(right, "SOMEBODY_ELSE"), lambda: log_in(second)):
        with pytest.raises(DatabaseError, match="JWT token is invalid"):
            attempt()
    with pytest.raises(DatabaseError, match="Incorrect username or password"):
        cast.warehouse.connect(user=user, password="embedded")
    with cast.warehouse.connect() as admin:
        admin.cursor().execute(f"ALTER USER {user} SET RSA_PUBLIC_KEY_2 = '{public(second)}'")
        log_in(second).close()
        admin.cursor().execute(f"ALTER USER {user} SET DISABLED = TRUE")
    with pytest.raises(DatabaseError, match="User access disabled"):
        log_in(right)
