"""What a user reads when something is wrong: what happened, where, one thing to do, the exit code; never a traceback.

Each cause is in architecture/errors.md; those that need a running stack are in tests/flow/test_messages.py.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from snowflake.connector.errors import DatabaseError, ProgrammingError

from flows.cli import main
from flows.clients.snowflake import translate_error
from flows.contract.read import read_source
from flows.embedded import stack
from flows.errors import CxmError
from flows.failures import meaning
from flows.settings import PROJECT
from flows.steps.land import inspect
from flows.synthetic.olist import generate
from tests.conftest import free_port


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("CXM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CXM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CXM_DATA", str(tmp_path / "data"))
    return tmp_path


def failing(error: OSError) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


# What the system says when the home is made → exit code, words of the message.
SYSTEM = {
    "a home that may not be written": (
        PermissionError(errno.EACCES, "Permission denied", "/srv/.cxm/run"),
        2,
        "/srv/.cxm/run: may not be read or written by this user (Permission denied); chown or chmod it, or name another folder",
    ),
    "a read-only disk": (
        OSError(errno.EROFS, "Read-only file system", "/srv/.cxm/run"),
        2,
        "/srv/.cxm/run: may not be read or written by this user (Read-only file system)",
    ),
    "a file where the home should be": (
        NotADirectoryError(errno.ENOTDIR, "Not a directory", "/srv/.cxm/run"),
        2,
        "/srv/.cxm/run: cannot be used (Not a directory); see what is in its way",
    ),
    "a full disk": (
        OSError(errno.ENOSPC, "No space left on device", "/srv/.cxm/run"),
        5,
        "/srv/.cxm/run: no room on its disk (No space left on device); nothing that was under way is published",
    ),
}


@pytest.mark.parametrize("cause", SYSTEM)
def test_what_the_system_refuses_is_told(cause: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error, code, said = SYSTEM[cause]
    monkeypatch.setattr(stack, "_directories", failing(error))
    result = CliRunner().invoke(main, ["down"])
    assert result.exit_code == code, result.output
    assert said in result.output
    assert "Traceback" not in result.output


# Command → exit code, words of the message. None of them needs a server.
COMMANDS: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "an empty statement": (["sql", ""], {}, 2, "expected a statement, got an empty text"),
    "a comment for a statement": (["sql", "/* nothing */"], {}, 2, "expected a statement, got an empty text"),
    "a source that is none": (["run", "--source", "nope"], {}, 2, "source nope: no contract data_dictionary/nope.odcs"),
    "a source with a typo": (["run", "--source", "olits"], {}, 2, "did you mean olist?"),
    "a setting with a typo": (["status"], {"CXM_BUKET": "mine"}, 2, "CXM_BUKET: no such setting; did you mean CXM_BUCKET?"),
    "a setting that is none": (["status"], {"CXM_ZZZZZZ": "1"}, 2, "CXM_ZZZZZZ: no such setting; unset it"),
    "a value that does not fit": (["status"], {"CXM_S3_PORT": "80"}, 2, "CXM_S3_PORT='80': input should be greater"),
    "no files": (["run"], {"CXM_TARGET": "snowflake"}, 2, "expected the CSV files of olist, got no file"),
    "a folder that does not exist": (["run", "--data", "/nowhere"], {}, 2, "--data /nowhere: no such folder"),
    "two days the wrong way": (["run", "--to", "2018-03-01"], {}, 2, "--to: given without --from"),
}  # fmt: skip


@pytest.mark.parametrize("cause", COMMANDS)
def test_what_a_user_gets_wrong_is_told(cause: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, environment, code, said = COMMANDS[cause]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_setting_of_another_reader_is_no_typo(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXM_DBT_THREADS", "2")
    assert CliRunner().invoke(main, ["status"]).exit_code == 0


@pytest.mark.parametrize("command", [["automations", "apply", "--notify", "a/b"], ["run", "--data", "{data}"]])
def test_a_prefect_api_that_is_not_reached_is_told(command: list[str], home: Path) -> None:
    (home / "data").mkdir()
    url = f"http://127.0.0.1:{free_port()}/api"
    environment = {**os.environ, "CXM_TARGET": "snowflake", "PREFECT_API_URL": url}
    line = [str(Path(sys.executable).with_name("cxm")), *(part.format(data=home / "data") for part in command)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 5, done.stderr
    assert f"Prefect API {url}: not reached" in done.stderr
    assert "Start that server" in done.stderr
    assert "Traceback" not in done.stderr


MISSING = "Object 'CXM_MEDTECH.{}' does not exist or not authorized."
# Snowflake's error number and text → our class, what to do.
ANSWERS = {
    "a mart that was not built": (2003, MISSING.format("MARTS.DIM_ACCOUNTS"), 2, "build it: `cxm dbt build`"),
    "a snapshot that was not taken": (2003, MISSING.format("SNAPSHOTS.S"), 2, "build it: `cxm dbt build`"),
    "a RAW table that does not exist": (2003, MISSING.format("RAW.OLIST_ORDERS"), 2, "`cxm provision --apply`"),
    "a role that does not exist": (390189, "no role CXM_LOADER", 2, "grant the role to the user: `cxm provision --apply`"),
    "a privilege that is not granted": (3001, "Insufficient privileges to operate on table", 2, "`cxm provision --apply`"),
    "a server that failed": (603, "SQL execution internal error", 5, "give its disk room if that is full"),
}  # fmt: skip


@pytest.mark.parametrize("cause", ANSWERS)
def test_what_snowflake_refuses_is_told(cause: str) -> None:
    number, said, code, fix = ANSWERS[cause]
    kind = DatabaseError if number >= 250001 else ProgrammingError
    error = translate_error(kind(msg=said, errno=number, sqlstate="42S02"), "SELECT 1")
    assert isinstance(error, CxmError)
    assert error.exit_code == code
    assert said in str(error)
    assert fix in str(error)


def test_a_file_that_was_cut_off_is_told_as_such(tmp_path: Path) -> None:
    generate(tmp_path, scale=0.001, tables=["orders"])
    table = read_source("olist").table("orders")
    path = tmp_path / table.file
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b",", 0, len(whole) - 40)])
    with pytest.raises(
        CxmError, match=r"line 100: the file ends inside this record.*cut off on its way: send it again"
    ):
        inspect(path, table)


def test_the_doctor_says_how_to_log_in_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import NoCredentialsError

    from flows import doctor
    from flows.settings import Settings

    def bucket(_: Settings) -> Any:
        raise NoCredentialsError

    monkeypatch.setattr(doctor, "CHECKS", {"bucket": bucket})
    (got,) = doctor.examine(Settings())
    assert (got.status, got.found) == ("fail", "Unable to locate credentials")
    assert "aws sso login" in got.fix


def test_a_bug_is_not_called_anything_else() -> None:
    assert meaning(KeyError("x")) is None
    assert meaning(FileNotFoundError("no name of a file")) is None


def test_the_cause_is_found_below_what_wraps_it() -> None:
    error = RuntimeError("dbt failed")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/srv/a")
    assert "no room on its disk" in str(meaning(error))


def test_every_cause_is_in_the_page() -> None:
    page = (PROJECT / "architecture" / "errors.md").read_text()
    rows = {
        cells[0]: cells
        for cells in (re.split(r" *\| *", line.strip("| ")) for line in page.splitlines() if line[:1] == "|")
    }
    for cause, code, said in [
        *((cause, code, said) for cause, (_, code, said) in SYSTEM.items()),
        *((cause, code, said) for cause, (_, _, code, said) in COMMANDS.items()),
        *((cause, code, fix) for cause, (_, _, code, fix) in ANSWERS.items()),
    ]:
        assert cause in rows, f"architecture/errors.md: no row for {cause!r} (exit code {code}: {said})"
        assert rows[cause][1] == str(code), cause


def test_what_the_project_reads_itself_is_no_typo() -> None:
    """A variable that a file of the project reads, or that `cxm env` exports, is a setting or known beside them."""
    from flows.settings import NOT_SETTINGS, Settings

    reading = re.compile(
        r"""(?:env_var\(\\?['"]|environ(?:\.get\(|\[)"|\$\{|\{?")(CXM_[A-Z_]+)(?:['"\\}]+:|['"\\,)\]}])"""
    )
    folders = [PROJECT / "flows", PROJECT / "dbt" / "cxm_medtech", PROJECT / "expectations"]
    files = [f for folder in folders for kind in ("*.py", "*.yml") for f in folder.rglob(kind) if f.is_file()]
    warehouse = PROJECT / "flows" / "embedded" / "warehouse"  # it reads no variable; its names are DuckDB's
    files = [f for f in files if warehouse not in f.parents]
    got = {name for file in files for name in reading.findall(file.read_text(encoding="utf-8"))}
    known = {f"CXM_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS
    names = {
        "CXM_MEDTECH",
        "CXM_LOADER",
        "CXM_TRANSFORMER",
        "CXM_REPORTER",
        "CXM_PRIVACY",
        "CXM_S3_INTEGRATION",
        "CXM_EMBEDDED",
        "CXM_CHECK",
    }
    assert {"CXM_WAREHOUSE_PORT", "CXM_WAREHOUSE_PASSWORD"} <= got
    assert {n for n in got - known - names if not n.endswith("_SVC")} == set()
