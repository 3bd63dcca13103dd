"""Times what a user waits for: whole commands, from start to end, on the benchmark's own embedded stack.

    python -m tests.benchmarks.commands [--rounds 7] [--only NAME]… [--data FOLDER] [--project CHECKOUT] [--json] [--page LABEL]

First with nothing running, then on a stack that is up. There the automations are off: otherwise the build of the marts that
follows each publication would be measured with the next command. `--data` is the sample (by default the one beside the project,
or a generated one); `full` is generated at scale 1. `--project` times another checkout with its own `.venv`, to compare two
versions in one sitting; `--page` writes the medians into `architecture/benchmarks.md`, a column for each label.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from flows.generated import MARKER
from flows.settings import NOT_SETTINGS, PROJECT, TELEMETRY_OFF
from flows.synthetic.olist import generate
from tests.benchmarks.run import RESULTS, measure_process

HOME = PROJECT / ".cxm" / "bench" / "commands"
SAMPLE = PROJECT.parent / "shared" / "olist_sample"
SAMPLE_SCALE = 0.06  # as many rows as the sample has
PORTS = {"S3": 21700, "WAREHOUSE": 21710, "PREFECT": 21720, "DOCS": 21730, "WORKER": 21740}
AHEAD = timedelta(seconds=15)  # a worker looks for runs that are due within ten seconds
PATIENCE = 600.0
PAGE = PROJECT / "architecture" / "benchmarks.md"
NAMES = (
    "make run, first",
    "make run, again",
    "make up, first",
    "make up, again",
    "cxm run --force, full",
    "cxm run, full unchanged",
    "cxm run --force, sample",
    "cxm run, sample unchanged",
    "scheduled run, sample",
    "cxm sql",
    "cxm batches",
    "cxm status",
)
BEGIN, END = (
    "<!-- commands: written by `python -m tests.benchmarks.commands --page` -->\n",
    "<!-- end of commands -->\n",
)


@dataclass
class Times:
    """What one command took, round by round: seconds, CPU seconds of its processes, and CPU seconds of the servers."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    servers: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Sitting:
    """A checkout under measurement, with its own home and ports."""

    project: Path
    sample: Path
    full: Path

    @property
    def home(self) -> Path:
        return HOME / "home"

    @property
    def environment(self) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("CXM_", "PREFECT_")) or n in NOT_SETTINGS}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept,
            **TELEMETRY_OFF,
            **{f"CXM_{name}_PORT": str(port) for name, port in PORTS.items()},
            "CXM_HOME": str(self.home),
            "CXM_DATA": str(HOME / "data"),  # its olist is the sample
        }

    def cxm(self, *arguments: str) -> list[str]:
        return [str(self.project / ".venv" / "bin" / "cxm"), *arguments]

    def run(self, data: Path, *more: str) -> list[str]:
        return self.cxm("run", "--data", str(data), *more, "--json")

    def timed(self, command: list[str]) -> tuple[float, float, float]:
        """Run a command; return its seconds, its CPU seconds, and those of the servers. Ends the benchmark if it fails."""
        before = self._servers()
        took, _ = measure_process(command, HOME / "took.json", self.project, self.environment)
        spent = sum(after - before.get(pid, 0.0) for pid, after in self._servers().items())
        return took["wall"], took["cpu"], spent

    def do(self, command: list[str]) -> None:
        """Run a command without keeping its times."""
        self.timed(command)

    def _servers(self) -> dict[int, float]:
        """Return the CPU seconds of each process of the stack so far."""
        result: dict[int, float] = {}
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            supervisor = psutil.Process(json.loads((self.home / "run" / "supervisor.json").read_text())["pid"])
            for process in supervisor.children(recursive=True):
                with contextlib.suppress(
                    psutil.Error
                ):  # with those of its ended children: runs, which are forks of one of these processes
                    result[process.pid] = sum(process.cpu_times()[:4])
        return result

    @contextlib.contextmanager
    def prefect(self) -> Iterator[Callable[..., Any]]:
        """Yield a function that sends a request to the stack's Prefect server: method, path → the answer's JSON."""
        api = json.loads((self.home / "run" / "stack.json").read_text())["prefect"]["api_url"]
        secret = self.home / "secrets" / "prefect.auth"
        auth = None  # an older checkout's server asks for none
        if secret.is_file():
            user, _, password = secret.read_text().strip().partition(":")
            auth = httpx.BasicAuth(user, password)
        with httpx.Client(auth=auth, timeout=30) as client:

            def answer(method: str, path: str, **more: Any) -> Any:
                answered = client.request(method, api + path, **more)
                while answered.status_code == 503:  # its SQLite database has another writer
                    time.sleep(1)
                    answered = client.request(method, api + path, **more)
                answered.raise_for_status()
                return answered.json() if answered.content else None

            yield answer

    def nothing_follows(self) -> None:
        """Turn the automations off."""
        with self.prefect() as answer:
            for one in answer("POST", "/automations/filter", json={}):
                answer("PATCH", f"/automations/{one['id']}", json={"enabled": False})

    def scheduled(self) -> tuple[float, float, float]:
        """Time a run of the deployment on the worker, from the time for which it is scheduled to its state Completed."""
        before = self._servers()
        with self.prefect() as answer:
            deployment = answer("GET", "/deployments/name/pipeline/olist")["id"]
            due = datetime.now(UTC) + AHEAD
            state = {"type": "SCHEDULED", "state_details": {"scheduled_time": due.isoformat()}}
            expected = {"parameters": {"source": "olist", "force": True}, "state": state}
            run = answer("POST", f"/deployments/{deployment}/create_flow_run", json=expected)["id"]
            until = time.monotonic() + AHEAD.total_seconds() + PATIENCE
            while (result := answer("GET", f"/flow_runs/{run}"))["state_type"] not in (
                "COMPLETED",
                "FAILED",
                "CRASHED",
            ):
                if time.monotonic() > until:
                    raise SystemExit(f"the scheduled run is {result['state_type']} after {PATIENCE:.0f} s")
                time.sleep(0.5)
        if result["state_type"] != "COMPLETED":
            raise SystemExit(f"the scheduled run: {result['state']['message']}")
        spent = sum(after - before.get(pid, 0.0) for pid, after in self._servers().items())
        return (datetime.fromisoformat(result["state"]["timestamp"]) - due).total_seconds(), 0.0, spent


def measure(sitting: Sitting, rounds: int, only: list[str], tell: Callable[[str, Times], None]) -> dict[str, Times]:
    """Time each command, round by round: first those that find nothing running, then those on a stack that is up."""
    result: dict[str, Times] = {}

    def one(name: str, work: Callable[[], tuple[float, float, float]]) -> None:
        times = result.setdefault(name, Times())
        for held, value in zip((times.wall, times.cpu, times.servers), work(), strict=True):
            held.append(round(value, 3))
        tell(name, times)

    def command(*line: str) -> Callable[[], tuple[float, float, float]]:
        return lambda: sitting.timed(list(line))

    cold: dict[str, tuple[Callable[[], None], list[str]]] = {
        "make run, first": (lambda: fresh(sitting), ["make", "run"]),
        "make run, again": (lambda: None, ["make", "run"]),
        "make up, first": (lambda: fresh(sitting), ["make", "up"]),
        "make up, again": (lambda: None, ["make", "up"]),
    }
    for name, (prepare, line) in cold.items():
        if only and name not in only:
            continue
        for number in range(rounds):
            prepare()
            if number == 0 and name.endswith("again"):
                sitting.do(line)
                sitting.do(sitting.cxm("down"))
            one(name, command(*line))
            sitting.do(sitting.cxm("down"))

    warm: dict[str, tuple[list[str] | None, Callable[[], tuple[float, float, float]]]] = {}
    for size, data in (("full", sitting.full), ("sample", sitting.sample)):
        forced = sitting.run(data, "--force")
        warm[f"cxm run --force, {size}"] = None, command(*forced)
        warm[f"cxm run, {size} unchanged"] = forced, command(*sitting.run(data))
    warm["scheduled run, sample"] = None, sitting.scheduled
    warm["cxm sql"] = None, command(*sitting.cxm("sql", "SELECT COUNT(*) FROM RAW.LOAD_LEDGER"))
    warm["cxm batches"] = None, command(*sitting.cxm("batches"))
    warm["cxm status"] = None, command(*sitting.cxm("status"))
    chosen = {name: work for name, work in warm.items() if not only or name in only}
    if not chosen:
        return result
    fresh(sitting)
    try:
        sitting.do(["make", "up"])
        sitting.nothing_follows()
        sitting.do(sitting.run(sitting.sample, "--force"))  # fills the caches
        for _ in range(rounds):
            for name, (first, work) in chosen.items():
                if first and "cxm run --force" + name.removeprefix("cxm run").removesuffix(" unchanged") not in chosen:
                    sitting.do(first)
                one(name, work)
    finally:
        sitting.do(sitting.cxm("down"))
    return result


def fresh(sitting: Sitting) -> None:
    """Delete the home, so that the next command starts with a new one."""
    shutil.rmtree(sitting.home, ignore_errors=True)


def prepared(project: Path, data: Path | None) -> Sitting:
    """Generate the files of both sizes where they are missing; return the checkout to measure."""
    full, sample = HOME / "full", data or (SAMPLE if SAMPLE.is_dir() else HOME / "sample")
    for folder, scale in ((full, 1.0), (sample, SAMPLE_SCALE)):
        if not any(folder.glob("*.csv")):
            generate(folder, scale)
            (
                folder / MARKER
            ).unlink()  # count as real: generated rows never replace real ones, and the sample may be real
    own = HOME / "data" / "olist"
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(sample, own)
    return Sitting(project.absolute(), own, full)


def shown(result: dict[str, Times]) -> Table:
    table = Table("command", title="Whole commands, seconds")
    for name in ("median", "least", "most", "of a core", "of a core, servers", "runs"):
        table.add_column(name, justify="right")
    for name, times in result.items():
        numbers = (median(times.wall), min(times.wall), max(times.wall), median(times.cpu), median(times.servers))
        table.add_row(name, *(f"{n:.2f}" for n in numbers), str(len(times.wall)))
    return table


def section(results: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Return the page's table: a line for each command, a column for each label."""
    names = list(dict.fromkeys(name for one in results.values() for name in one))
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    for name in names:
        cells = []
        for one in results.values():
            wall = one.get(name, {}).get("wall", [])
            cells.append(
                f"**{median(wall):.1f}** ({min(wall):.1f} – {max(wall):.1f}), {len(wall)} runs" if wall else ""
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_page(label: str, result: dict[str, Times]) -> None:
    """Keep the times under a label, beside those of other labels, and write the table of all of them."""
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    results.setdefault("commands", {}).setdefault(label, {}).update(
        {name: {"wall": t.wall, "cpu": t.cpu, "servers": t.servers} for name, t in result.items()}
    )
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + "\n" + section(results["commands"]) + END + rest.split(END)[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--project", type=Path, default=PROJECT)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", metavar="LABEL")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)

    def tell(name: str, times: Times) -> None:
        console.print(
            f"{name:<28} {times.wall[-1]:7.2f} s  of a core {times.cpu[-1]:6.2f}, servers {times.servers[-1]:6.2f}"
        )

    result = measure(prepared(options.project, options.data), options.rounds, options.only, tell)
    if options.page:
        write_page(options.page, result)
    if options.json:
        facts = {
            n: {"median": median(t.wall), "wall": t.wall, "cpu": t.cpu, "servers": t.servers} for n, t in result.items()
        }
        sys.stdout.write(json.dumps({"load": os.getloadavg(), "commands": facts}) + "\n")
    else:
        Console().print(shown(result))


if __name__ == "__main__":
    main()
