"""Which class of error Snowflake's answers become: a refused login, a lock, a time-out, bad data, a statement.

Logins go through the real connector to a server that answers as Snowflake does.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import snowflake.connector
from snowflake.connector import errors

from flows.clients.snowflake import session_parameters, translate_error
from flows.errors import ConfigurationError, DataError, InfrastructureError


class Answers(BaseHTTPRequestHandler):
    """Answers each login with the server's `status` and `answer`."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(self.server.answer).encode()  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    answering = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=answering.serve_forever, daemon=True).start()
    yield answering
    answering.shutdown()
    answering.server_close()


def login(port: int) -> Exception:
    """Log in and return the error, translated."""
    with pytest.raises(errors.Error) as failed:
        snowflake.connector.connect(
            account="a-b", user="u", password="p", host="127.0.0.1", port=port, protocol="http",
            login_timeout=3, platform_detection_timeout_seconds=0,
        )  # fmt: skip
    return translate_error(failed.value, "login")


JWT = "JWT token is invalid. [0e4f2a3c-7d55-4b5c-9a0f-0d1c5a3a6f4b]"
ROLE = (
    "Role 'CXM_LOADER' specified in the connect string is not granted to this user. Contact your local system administrator, "
    "or attempt to login with another role, e.g. PUBLIC."
)
USER = "Incorrect username or password was specified."


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        ("390144", JWT, "cxm keys create"),
        (None, JWT, "cxm keys create"),
        ("394304", "JWT token is invalid.", "cxm keys create"),
        ("390189", ROLE, "grant the role"),
        (None, ROLE, "grant the role"),
        ("390100", USER, "CXM_SNOWFLAKE_USER"),
        (None, USER, "CXM_SNOWFLAKE_USER"),
        (None, "User access disabled. Contact your local system administrator.", "DISABLED = FALSE"),
        ("390422", "IP/Token 192.0.2.1 is not allowed to access Snowflake.", "network policy"),
    ],
)
def test_a_refused_login_is_a_matter_of_configuration(
    server: ThreadingHTTPServer, code: str | None, message: str, fix: str
) -> None:
    answer = {"success": False, "message": message, "data": {}, **({"code": code} if code else {})}
    server.status, server.answer = 200, answer  # type: ignore[attr-defined]
    error = login(server.server_port)

    assert isinstance(error, ConfigurationError)
    assert fix in str(error)
    assert "not reached" not in str(error)


@pytest.mark.parametrize("status", [403, 404])
def test_an_account_that_does_not_exist_is_a_matter_of_configuration(server: ThreadingHTTPServer, status: int) -> None:
    server.status, server.answer = status, {}  # type: ignore[attr-defined]
    error = login(server.server_port)

    assert isinstance(error, ConfigurationError)
    assert "CXM_SNOWFLAKE_ACCOUNT" in str(error)


def test_a_server_that_is_down_is_tried_again(server: ThreadingHTTPServer) -> None:
    server.status, server.answer = 503, {}  # type: ignore[attr-defined]
    unavailable = login(server.server_port)
    closed = login(9)

    assert isinstance(unavailable, InfrastructureError)
    assert isinstance(closed, InfrastructureError)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (625, "Statement '01b' has locked table 'LOAD_LEDGER' in transaction 17 and this lock has not yet been released."),
        (625, "Your statement '01b' was aborted because the number of waiters for this lock exceeds the 20 statements limit."),
        (630, "Statement reached its statement or warehouse timeout of 3,600 second(s) and was canceled."),
    ],
)  # fmt: skip
def test_a_lock_or_a_statement_that_took_too_long_is_tried_again(number: int, message: str) -> None:
    error = translate_error(errors.ProgrammingError(message, errno=number, sqlstate="57014"), "UPDATE T SET A = 1")

    assert isinstance(error, InfrastructureError)
    assert "not reached" not in str(error)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (100016, DataError),  # field delimiter found while expecting record delimiter
        (100038, DataError),  # numeric value is not recognized
        (100080, DataError),  # number of columns in the file
        (91016, DataError),  # a file that COPY names does not exist
        (100088, DataError),  # an empty field in a NOT NULL column
        (100067, ConfigurationError),  # a value too long for this version of the client
        (100089, ConfigurationError),  # Failed to access remote file: access denied
        (100144, ConfigurationError),  # seen on no public page
        (100051, ConfigurationError),  # division by zero
        (100090, ConfigurationError),  # MERGE found a row twice
        (100132, ConfigurationError),  # a JavaScript function failed
        (100351, ConfigurationError),  # an external function failed
    ],
)
def test_only_what_copy_and_casts_say_of_values_is_bad_data(number: int, kind: type[Exception]) -> None:
    assert type(translate_error(errors.ProgrammingError("…", errno=number, sqlstate="22000"), "COPY INTO T")) is kind


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        ("Access Denied (Status Code: 403; Error Code: AccessDenied)", ConfigurationError),
        ("NoSuchBucket (s3://b/raw/)", ConfigurationError),
        ("Please reduce your request rate. (Status Code: 503; Error Code: SlowDown)", InfrastructureError),
        ('Could not connect to the endpoint URL: "http://127.0.0.1:8333/b" (s3://b/raw/x)', InfrastructureError),
    ],
)
def test_a_stage_that_s3_refuses_is_told_from_an_s3_that_is_away(cause: str, kind: type[Exception]) -> None:
    said = f"Failure using stage area. Cause: [{cause}]"
    error = translate_error(errors.ProgrammingError(said, errno=91003, sqlstate="55000"), "COPY INTO T")
    assert type(error) is kind


def test_a_message_names_the_statement_and_not_the_comment_of_its_template() -> None:
    sql = "-- One batch of one table. FILES names every file.\n-- noqa: disable=AL01\n\n/* more */ COPY INTO D.RAW.T (\n    A)"
    error = translate_error(errors.ProgrammingError("Remote file", errno=91016, sqlstate="22000"), sql)

    assert "in `COPY INTO D.RAW.T ( A)`: Remote file" in str(error)


def test_each_session_commits_statement_by_statement_whatever_the_account_says() -> None:
    assert session_parameters({})["AUTOCOMMIT"] is True
