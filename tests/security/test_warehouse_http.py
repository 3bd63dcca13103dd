"""How the embedded warehouse answers requests that break its protocol or come from where they should not."""

from __future__ import annotations

import gzip
import http.client
import json
from typing import Any

import pytest

from tests.embedded.conftest import Warehouse
from tests.security.test_warehouse_statements import PASSWORD, Attacked, attacked  # noqa: F401 - a fixture

LOGIN, QUERY = "/session/v1/login-request", "/queries/v1/query-request"


def post(warehouse: Warehouse, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
    """Send one request; return its status and JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", warehouse.port, timeout=30)
    try:
        connection.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def logged_in(warehouse: Warehouse) -> tuple[str, str]:
    """Log in; return the session's token and its master token."""
    data = {"data": {"LOGIN_NAME": "REPORTER_USER", "PASSWORD": PASSWORD}}
    status, answer = post(warehouse, LOGIN, json.dumps(data).encode())
    assert (status, answer["success"]) == (200, True)
    return answer["data"]["token"], answer["data"]["masterToken"]


BODIES = {
    "a list": b"[1, 2]", "null's text": b'"text"', "a number": b"7", "text": b"SELECT 1", "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"data":' * 50_000 + b"1" + b"}" * 50_000, "bad UTF-8": b'{"data": "\xff\xfe"}', "half": b'{"data": {',
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_no_json_object_is_answered_with_400(attacked: Attacked, body: bytes) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    token = f'Snowflake Token="{logged_in(warehouse)[0]}"'
    for path in (LOGIN, f"{QUERY}?requestId=x", "/session/token-request"):
        status, answer = post(warehouse, path, body, Authorization=token)
        assert (status, answer["success"]) == (400, False), path
    assert "Traceback" not in warehouse.log()


def test_parts_of_the_wrong_kind_are_answered_with_400(attacked: Attacked) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    token = f'Snowflake Token="{logged_in(warehouse)[0]}"'
    for path, body in (
        (LOGIN, {"data": [1]}),
        (LOGIN, {"data": {"LOGIN_NAME": "X", "SESSION_PARAMETERS": ["QUERY_TAG"]}}),
        (QUERY, {"sqlText": ["SELECT 1"]}),
        (QUERY, {}),
        (QUERY, {"sqlText": "SELECT 1", "parameters": ["QUERY_TAG"]}),
        (QUERY, {"sqlText": "SELECT ?", "bindings": [1]}),
    ):
        status, answer = post(warehouse, path, json.dumps(body).encode(), Authorization=token)
        assert (status, answer["success"]) == (400, False), body
    status, _ = post(warehouse, LOGIN, b"no gzip", Content_Encoding="gzip")
    assert status == 400
    status, _ = post(warehouse, LOGIN, gzip.compress(b"{}")[:-6], Content_Encoding="gzip")
    assert status == 400


def test_a_request_is_measured_before_it_is_unpacked_or_anyone_has_logged_in(attacked: Attacked) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    bomb = gzip.compress(b'{"data": "' + b"x" * 200_000_000 + b'"}', 1)
    assert len(bomb) < 1_000_000
    status, answer = post(warehouse, LOGIN, bomb, Content_Encoding="gzip")
    assert (status, answer["success"]) == (413, False)
    assert post(warehouse, LOGIN, b"x" * 2_000_000)[0] == 413
    status, answer = post(warehouse, QUERY, b'{"sqlText": "SELECT 1"}', Authorization='Snowflake Token="none"')
    assert (status, answer["code"]) == (200, "390111"), "a client that was logged out is to log in again"


def test_only_this_machine_and_no_web_page_is_answered(attacked: Attacked) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    body = json.dumps({"data": {"LOGIN_NAME": "REPORTER_USER", "PASSWORD": PASSWORD}}).encode()
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert post(warehouse, LOGIN, body, Host=host)[0] == 400, host
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{warehouse.port}"):
        assert post(warehouse, LOGIN, body, Origin=origin)[0] == 403, origin
    for host in ("127.0.0.1", f"localhost:{warehouse.port}", "[::1]:80"):
        assert post(warehouse, LOGIN, body, Host=host)[0] == 200, host


def test_a_token_is_renewed_by_its_master_token_alone(attacked: Attacked) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    token, master = logged_in(warehouse)
    body = json.dumps({"oldSessionToken": token, "requestType": "RENEW"}).encode()
    other = f'Snowflake Token="{logged_in(warehouse)[1]}"'
    for headers in (
        {},
        {"Authorization": 'Snowflake Token=""'},
        {"Authorization": f'Snowflake Token="{token}"'},
        {"Authorization": other},
    ):
        status, answer = post(warehouse, "/session/token-request", body, **headers)
        assert (status, answer["success"], answer["data"]) == (200, False, None)
    status, answer = post(warehouse, "/session/token-request", body, Authorization=f'Snowflake Token="{master}"')
    assert answer["success"]


def test_what_a_session_held_is_given_back_when_it_ends(attacked: Attacked) -> None:  # noqa: F811
    warehouse = attacked.warehouse
    with warehouse.connect(database="CXM", schema="MARTS") as admin:
        count = admin.cursor().execute
        for _ in range(3):
            with attacked.connect("REPORTER") as session:
                session.cursor().execute("CREATE TEMPORARY TABLE HELD AS SELECT V FROM FACTS")
                session.cursor().execute("BEGIN")
                session.cursor().execute("SELECT * FROM HELD")
                session.cursor().execute("SELECT * FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))")
        connection = http.client.HTTPConnection("127.0.0.1", warehouse.port, timeout=30)
        connection.request("GET", "/health")
        before = json.loads(connection.getresponse().read())["sessions"]
        attacked.connect("REPORTER").close()
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read())["sessions"] == before
        connection.close()
        assert count("SELECT COUNT(*) FROM FACTS").fetchone() == (1,)


def test_the_rows_of_another_users_query_are_not_scanned(attacked: Attacked) -> None:  # noqa: F811
    from snowflake.connector.errors import ProgrammingError

    with attacked.connect("TRANSFORMER") as transformer, attacked.connect("REPORTER") as reporter:
        query_id = transformer.cursor().execute("SELECT V FROM RAW.LOAD_LEDGER").sfqid
        with pytest.raises(ProgrammingError) as error:
            reporter.cursor().execute(f"SELECT * FROM TABLE(RESULT_SCAN('{query_id}'))")
        assert error.value.errno == 709


def test_a_statement_has_an_end(attacked: Attacked) -> None:  # noqa: F811
    from snowflake.connector.errors import Error

    with attacked.connect("REPORTER") as reporter:
        reporter.cursor().execute("ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = 1")
        many = "TABLE(GENERATOR(ROWCOUNT => 10000000))"
        with pytest.raises(Error) as error:
            reporter.cursor().execute(f"SELECT COUNT(*) FROM {many} A, {many} B, {many} C")
        assert error.value.errno == 630
        with pytest.raises(Error) as error:
            reporter.cursor().execute("SELECT " + "(" * 3000 + "1" + ")" * 3000)
        assert error.value.errno in (2, 1003)
        with pytest.raises(Error) as error:
            reporter.cursor().execute(f"SELECT '{'x' * (33 << 20)}'")
        assert error.value.errno == 2
