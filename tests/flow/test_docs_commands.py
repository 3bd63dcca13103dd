"""The commands that the pages show are run as they are: on the tests' stack, or from `make up` on in their own home.

What a page leaves to its reader (a batch, a folder) is filled in; what cannot be run here is listed with the reason. The page of
the two accounts has its own test, tests/cloud/test_deployment_page.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.contract.sync import check
from flows.settings import PROJECT, Settings
from flows.steps.dbt import dbt_environment
from tests.conftest import delete_deployments, free_port
from tests.pages import PAGES, Command, commands, name

pytestmark = pytest.mark.xdist_group("flow")

ELSEWHERE = {
    "architecture/cli.md": "derived from the commands themselves",
    "architecture/faq.md": "names commands that other pages show",
    "architecture/settings.md": "names commands that other pages show",
    "architecture/benchmarks.md": "`make bench` writes it and runs what it names",
    "architecture/add_a_table.md": "run below, in a copy of the project",
    "architecture/deployment/README.md": "tests/cloud/test_deployment_page.py runs its commands",
}
NOT_RUN = {
    "make run": "sets up an environment first; the pages' `cxm run` are run",
    "make test": "the tests would run themselves",
    "make coverage": "the tests would run themselves",
    "make soak": "takes an hour",
    "make lint test soak": "takes an hour",
    "make lint": "CI runs it before the tests",
    "make bench": "takes ten minutes, and needs an environment for the peers",
    "uv build --wheel": "tests/flow/test_installed_wheel.py builds and installs it",
    "uv pip install --python ENV/bin/python -c requirements.lock dist/medtech_cxm-*.whl": "the same",
    "make next": "takes minutes, and makes environments of its own",
    "make lock": "asks the package index for newer versions",
    "export PREFECT_API_URL=… CXM_TARGET=snowflake CXM_SNOWFLAKE_ACCOUNT=… CXM_SNOWFLAKE_USER=… "
    'CXM_SNOWFLAKE_PRIVATE_KEY="$(cat key.p8)"': "needs an account; what follows it is run",
    "prefect cloud login": "needs an account; what follows it is run",
    "pip install prefect-docker && prefect worker start --pool cxm-docker": "needs Docker",
    "pip install prefect-aws && prefect worker start --pool cxm-ecs": "needs a cluster",
    "pip install prefect-kubernetes && prefect worker start --pool cxm-kubernetes": "needs a cluster",
    "cxm forget": "needs a person; tests/flow/test_forget.py runs it",
    "cxm down && cxm up": "`make down` and `make up`, which are run, do the same",
}
# Shortened here: a week and a month of days, and the full size.
SMALLER = {"--to 2018-03-07": "--to 2018-03-01", "--to 2018-03-31": "--to 2018-03-03", "--scale 1 ": "--scale 0.001 "}
SECONDS = 300
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])


def typed(line: str) -> str:
    """Shorten `.venv/bin/cxm run` to `cxm run`: both are the program beside this Python."""
    return re.sub(r"(\.\./)*\.venv/bin/", "", line)


def elsewhere() -> dict[str, str]:
    """Return an environment without the tests' stack, with ports for another one."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("CXM_", "PREFECT_"))}
    ports = {f"CXM_{n}_PORT": str(free_port()) for n in ("S3", "WAREHOUSE", "PREFECT", "DOCS", "WORKER")}
    return {**kept, **ports, "PATH": PATH}


def _is_elsewhere(command: Command) -> bool:
    return command.page in ELSEWHERE or f"{command.page}: {command.heading}" in ELSEWHERE


def _plan() -> dict[str, list[Command]]:
    """Return what to run of each page; the part from `make up` to `make down` is a separate entry.

    A command that an earlier page or a block shows is run there; words that begin another command only name it.
    """
    plan: dict[str, list[Command]] = {}
    seen: set[str] = set()
    own_home = False
    pages = [page for page in PAGES if not name(page).startswith(("tests/", "CHANGELOG"))]
    every = [c for page in pages for c in commands(page)]
    lines = {typed(c.line) for c in every}
    blocks = {typed(c.line) for c in every if not c.inline and not _is_elsewhere(c)}
    for command in every:
        line = typed(command.line)
        mentioned = command.inline and (line in blocks or any(other.startswith(f"{line} ") for other in lines))
        if _is_elsewhere(command) or line in NOT_RUN or mentioned:
            continue
        own_home |= line == "make up" and not command.inline
        key = f"{command.page}, from make up on" if own_home else command.page
        own_home &= line != "make down"
        here = {typed(c.line) for c in plan.get(key, [])}
        if line not in seen or (line in here and not command.inline):
            plan.setdefault(key, []).append(command)
            seen.add(line)
    return plan


PLAN = _plan()


def test_commands_that_are_not_run_are_in_a_page_and_their_make_targets_exist() -> None:
    shown = {typed(c.line) for page in PAGES for c in commands(page)}
    assert set(NOT_RUN) - shown == set()
    sections = {f"{c.page}: {c.heading}" for page in PAGES for c in commands(page)}
    assert set(ELSEWHERE) - {name(page) for page in PAGES} - sections == set()
    assert set(LONG) <= set(PLAN)
    assert len([c for page in PLAN.values() for c in page]) > 30
    for line in NOT_RUN:
        if line.startswith("make "):
            subprocess.run(["make", "-n", *line.split()[1:]], cwd=PROJECT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def reader(settings: Settings, olist_published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    from prefect.blocks.notifications import SlackWebhook
    from prefect.variables import Variable

    data = tmp_path_factory.mktemp("data")
    shutil.copytree(olist_published, data / "olist")
    SlackWebhook(url="http://127.0.0.1:9/nobody").save("ops", overwrite=True, _sync=True)  # type: ignore[call-arg, arg-type]
    yield Reader(settings, data, tmp_path_factory.mktemp("elsewhere"))
    Variable.set("cxm_work_pool", "cxm-process", overwrite=True, _sync=True)  # type: ignore[call-arg]
    delete_deployments(settings)


class Reader:
    """Runs the commands of a page: `type(command)` → (exit code, output)."""

    def __init__(self, settings: Settings, data: Path, own: Path) -> None:
        self.settings, self.data, self.own = settings, data, own
        self.batch = self._newest_batch()
        self.own_home: dict[str, str] = {}  # its environment, between `make up` and `make down`

    def filled_in(self, line: str) -> str:
        for word, value in {
            "20261122_101500": self.batch,
            "BATCH": self.batch,
            "SOURCE": "olist",
            "<source>": "olist",
            "TYPE": "docker",
            "~/Downloads/olist_data": str(self.data / "olist"),
            "FOLDER": str(self.data / "olist"),
            "DIR": str(self.own / "generated"),
            "data/synthetic": str(self.data / "synthetic"),
            **SMALLER,
        }.items():
            line = re.sub(rf"(?<![\w/]){re.escape(word)}(?!\w)", lambda _, value=value: value, line)
        return line

    def type(self, command: Command) -> tuple[int, str]:
        line = typed(command.line)
        if line == "make up":
            self.own_home = {**elsewhere(), "CXM_HOME": str(self.own / "home"), "CXM_DATA": str(self.data)}
        if self.own_home:
            return self._in_own_home(line)
        line = self.filled_in(line)
        if line.startswith("cxm "):
            environment = {"CXM_DATA": str(self.data)}
            if line.startswith("cxm keys "):
                environment["CXM_HOME"] = str(self.own)  # or the stack's users would get the keys
            if line == "cxm contract sync":
                assert check(PROJECT) == []  # or a test would write into the project
            result = CliRunner().invoke(main, shlex.split(line)[1:], env=environment)
            return result.exit_code, f"{result.output}\n{result.exception!r}"
        return self._shell(line, {**os.environ, **dbt_environment(self.settings), "CXM_DATA": str(self.data)})

    def _newest_batch(self) -> str:
        from flows import blocks, ledger

        with blocks.snowflake(self.settings, self.settings.loader_role, {"step": "test"}) as connection:
            return str(ledger.batches(connection, self.settings.database, "olist", limit=1)[0]["batch_id"])

    def _in_own_home(self, line: str) -> tuple[int, str]:
        if evaluated := re.fullmatch(r'eval "\$\((.+)\)"', line):
            code, said = self._shell(evaluated[1], self.own_home)
            self.own_home |= dict(word.split("=", 1) for word in shlex.split(said) if word != "export")
            return code, said
        done = self._shell(line, self.own_home)
        if line == "make down":
            self.own_home = {}
        return done

    def _shell(self, line: str, environment: dict[str, str]) -> tuple[int, str]:
        target = {"DBT_TARGET_PATH": str(self.own / "target"), "DBT_LOG_PATH": str(self.own / "logs")}
        process = subprocess.Popen(
            ["sh", "-c", line], cwd=PROJECT, env={**environment, **target, "PATH": PATH}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        late = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        late.start()
        # A worker waits for the runs that it began until a second Ctrl-C; a stack that tests share may have some due.
        impatient = threading.Timer(20, os.killpg, (process.pid, signal.SIGINT))
        said = ""
        assert process.stdout
        stopped = False
        for text in process.stdout:
            said += text
            if not stopped and " worker start " in line and "started!" in text:
                os.killpg(process.pid, signal.SIGINT)  # it would run until Ctrl-C
                impatient.start()
                stopped = True
        late.cancel()
        impatient.cancel()
        return 0 if process.wait() and stopped else process.returncode, said


LONG = (  # pages that run the pipeline, three days, their own stack or a build of all nodes
    "CONTRIBUTING.md",
    "README.md",
    "README.md, from make up on",
    "architecture/contract.md",
    "architecture/loads.md",
    "architecture/operations.md",
    "architecture/synthetic_sources.md",
    "architecture/tour.md",
)


@pytest.mark.parametrize("page", [pytest.param(key, marks=[pytest.mark.soak] * (key in LONG)) for key in PLAN])
def test_the_commands_of_a_page_do_what_it_says(page: str, reader: Reader) -> None:
    try:
        for command in PLAN[page]:
            code, said = reader.type(command)
            assert code == command.exit_code, f"{command.heading}: {command.line}\n{said}"
    finally:
        if reader.own_home:
            reader._in_own_home("make down")


@pytest.mark.soak
def test_the_steps_that_add_a_table_end_in_its_rows_in_dbt(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for folder in ("data_dictionary", "dbt", "expectations", "flows", "sql"):
        made = shutil.ignore_patterns("target", "logs", "uncommitted", "__pycache__")
        shutil.copytree(PROJECT / folder, project / folder, ignore=made)
    shutil.copy(PROJECT / "prefect.yaml", project)
    environment = {**elsewhere(), "PYTHONPATH": str(project), "COLUMNS": "200"}
    steps = [typed(c.line) for c in commands(PROJECT / "architecture" / "add_a_table.md") if not c.inline]
    assert 3 < len(steps) < 10
    said: dict[str, str] = {}
    for step in ["cxm run", *steps]:  # `make run`, which the page asks for first, is this in its own environment
        done = subprocess.run(
            ["sh", "-c", step], cwd=project, env=environment, text=True, timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said[step] = done.stdout
        if done.returncode:
            subprocess.run(["cxm", "down"], cwd=project, env=environment, check=False)
        assert done.returncode == 0, f"{step}\n{done.stdout}"
    (rows,) = [text for step, text in said.items() if step.startswith("cxm sql")]
    assert re.search(r"T-1\b.*\b45\b.*2018-03-01", rows), rows
