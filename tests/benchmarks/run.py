"""Measures this project and its peers on the same data → `architecture/benchmarks.json`; `report.py` makes tables and a plot.

    python -m tests.benchmarks.run PEERS_ENVIRONMENT [--rounds 5] [--only land,line,load,ten]

Every number is of a whole process, from its start to its end: wall time and peak resident memory as the kernel reports them. The
peers of a group take turns, so that other load on the machine affects all of them. The benchmark ends if records are missing: it
counts those of the first round's objects, of each peer's database, and those that each process of this project reports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psutil

from flows.embedded import stack
from flows.settings import PROJECT, TELEMETRY_OFF, Settings
from flows.synthetic.olist import generate

HOME = PROJECT / ".cxm" / "bench"
RESULTS = PROJECT / "architecture" / "benchmarks.json"
MBIT = 100.0
CSV = "all_varchar=true, header=true, delim=',', quote='\"', escape='\"'"
# The benchmark's own ports, which a stack that is up does not use.
PORTS = {"CXM_S3_PORT": "21650", "CXM_WAREHOUSE_PORT": "21660", "LINE": 21670}


def measure_process(
    command: list[str], result: Path, cwd: Path, environment: Mapping[str, str]
) -> tuple[dict[str, float], str]:
    """Run a command with `measured.py`, which writes the file `result`; return what it took and what it printed.

    Ends the benchmark if the command fails.
    """
    ended = subprocess.run(
        [sys.executable, "-I", str(Path(__file__).with_name("measured.py")), str(result), *command],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    took: dict[str, float] = json.loads(result.read_text())
    if took["status"]:
        raise SystemExit(f"{' '.join(command)}: exit {took['status']:.0f}\n{(ended.stderr or ended.stdout)[-3000:]}")
    return took, ended.stdout


@dataclass
class Runs:
    """What one peer took, run by run."""

    wall: list[float] = field(default_factory=list)  # seconds
    cpu: list[float] = field(default_factory=list)  # CPU seconds, without the servers'
    memory: list[float] = field(default_factory=list)  # MB, peak
    inside: list[float] = field(default_factory=list)  # seconds after start-up, if the process reports them
    bytes: int = 0  # sent


@dataclass
class Bench:
    peers: Path  # the peers' environment
    environment: dict[str, str]
    client: Any
    bucket: str
    scale: int = 1
    clock: datetime = field(default_factory=lambda: datetime.now(UTC) - timedelta(days=400))

    @property
    def data(self) -> Path:
        return HOME / "data" / f"x{self.scale}"

    @property
    def rows(self) -> int:
        return int(json.loads((HOME / "data" / f"x{self.scale}.json").read_text()))

    def batch_id(self) -> str:
        self.clock += timedelta(seconds=1)
        return self.clock.strftime("%Y%m%d_%H%M%S")

    def process(self, command: list[str], **more: str) -> tuple[dict[str, float], dict[str, Any]]:
        """Run a command; return what it took (`measured.py`) and the JSON that it printed last, if any."""
        took, said = measure_process(command, HOME / "result.json", PROJECT, {**self.environment, **more})
        last = said.strip().rsplit("\n", 1)[-1]
        return took, json.loads(last) if last.startswith("{") else {}

    def ours(
        self, what: str, codec: str = "zstd", batch_id: str = "", **more: str
    ) -> tuple[dict[str, float], dict[str, Any]]:
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.ours",
            what,
            str(self.data),
            batch_id or self.batch_id(),
            codec,
        ]
        result = self.process(command, **more)
        if result[1]["records"] != self.rows:
            raise SystemExit(f"{' '.join(command)}: {result[1]} but the files have {self.rows} records")
        return result

    def peer(self, name: str, *arguments: str, **more: str) -> tuple[dict[str, float], dict[str, Any]]:
        script = str(PROJECT / "tests" / "benchmarks" / "peers.py")
        return self.process([str(self.peers / "bin" / "python"), script, name, *arguments], **more)

    def empty(self) -> None:
        """Delete every object in the bucket."""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for one in page.get("Contents", []):
                self.client.delete_object(Bucket=self.bucket, Key=one["Key"])

    def sent(self, rows: bool) -> int:
        """Return the bytes in the bucket; with `rows`, read everything back and count its records."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        objects = [o for page in pages for o in page.get("Contents", []) if o["Size"]]
        if rows:
            folder = self.fetched(objects)
            counted = sum(
                duckdb.sql(f"FROM read_csv('{p}', {CSV}) SELECT count(*)").fetchall()[0][0] for p in folder.iterdir()
            )
            if counted != self.rows:
                raise SystemExit(f"{counted} records in the bucket, {self.rows} in the files")
        return sum(o["Size"] for o in objects)

    def fetched(self, objects: list[Any]) -> Path:
        folder = HOME / "fetched"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for o in objects:
            self.client.download_file(self.bucket, o["Key"], str(folder / o["Key"].rsplit("/", 1)[1]))
        return folder


Peer = Callable[[int], tuple[dict[str, float], dict[str, Any]]]


def turns(bench: Bench, peers: dict[str, Peer], rounds: int, check: Callable[[str, bool], int]) -> dict[str, Runs]:
    """Run each peer once in each round, in another order each time; `check(name, whole)` returns the bytes that were sent."""
    result = {name: Runs() for name in peers}
    names = list(peers)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took, said = peers[name](number)
            runs = result[name]
            runs.bytes = check(name, number == 0)
            runs.wall.append(took["wall"])
            runs.cpu.append(took["cpu"])
            runs.memory.append(took["memory"])
            if "seconds" in said:
                runs.inside.append(said["seconds"])
            seconds = f"{took['wall']:7.2f} s {took['cpu']:6.2f} s of a core"
            print(f"x{bench.scale} {name:<28} {seconds} {took['memory']:6.0f} MB", flush=True)  # noqa: T201
    return result


def land(bench: Bench, rounds: int) -> dict[str, Runs]:
    tool = bench.peers / "bin"

    def to(name: str, number: int) -> str:
        return f"{name}/{bench.scale}/{number}"

    def files(name: str, number: int) -> list[str]:
        return [str(bench.data), f"s3://{bench.bucket}/{to(name, number)}/"]

    peers: dict[str, Peer] = {
        "ours, zstd": lambda _: bench.ours("land", "zstd"),
        "ours, gzip": lambda _: bench.ours("land", "gzip"),
        "ours, none": lambda _: bench.ours("land", "none"),
        "boto3, file after file": lambda n: bench.peer("boto3", str(bench.data), to("boto3", n)),
        "aws s3 cp --recursive": lambda n: bench.process(
            [
                str(tool / "aws"),
                "s3",
                "cp",
                "--recursive",
                "--quiet",
                "--exclude",
                "*",
                "--include",
                "*.csv",
                *files("aws", n),
            ]
        ),
        "s5cmd cp": lambda n: bench.process(
            [str(tool / "s5cmd"), "cp", f"{bench.data}/*.csv", f"s3://{bench.bucket}/{to('s5cmd', n)}/"],
            S3_ENDPOINT_URL=bench.environment["AWS_ENDPOINT_URL"],
        ),
        "awscrt": lambda n: bench.peer("awscrt", str(bench.data), to("awscrt", n)),
    }

    def check(_name: str, whole: bool) -> int:
        size = bench.sent(whole)
        bench.empty()
        return size

    return turns(bench, peers, rounds, check)


def line(bench: Bench, rounds: int) -> dict[str, Runs]:
    """Measure uploads over a line of 100 Mbit/s: ours with zstd, ours without compression, and boto3."""
    port = str(PORTS["LINE"])
    target = bench.environment["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]
    proxy = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.line", port, target, str(MBIT)], cwd=PROJECT)
    try:
        time.sleep(1)
        through = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        peers: dict[str, Peer] = {
            "ours, zstd": lambda _: bench.ours("land", "zstd", **through),
            "ours, none": lambda _: bench.ours("land", "none", **through),
            "boto3, file after file": lambda n: bench.peer("boto3", str(bench.data), f"line/{n}", **through),
        }

        def check(_name: str, whole: bool) -> int:
            size = bench.sent(whole)
            bench.empty()
            return size

        return turns(bench, peers, rounds, check)
    finally:
        proxy.terminate()
        proxy.wait(10)


def load(bench: Bench, rounds: int) -> dict[str, Runs]:
    """Measure files → RAW: ours through S3 and the warehouse; dlt without S3; and the least, DuckDB on fetched objects."""
    scratch = HOME / "scratch"

    def database(name: str) -> str:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        return str(scratch / f"{name}.duckdb")

    kept = HOME / "objects" / f"x{bench.scale}"
    if not kept.is_dir():
        bench.empty()
        bench.ours("land")
        pages = bench.client.get_paginator("list_objects_v2").paginate(Bucket=bench.bucket)
        fetched = bench.fetched([o for page in pages for o in page.get("Contents", []) if o["Size"]])
        kept.parent.mkdir(exist_ok=True)
        fetched.rename(kept)
        bench.empty()
    peers: dict[str, Peer] = {
        "ours: files, S3, RAW": lambda _: bench.ours("load"),
        "ours: the objects, RAW": lambda _: loaded(bench),
        "dlt: files, DuckDB": lambda _: bench.peer("dlt", str(bench.data), database("dlt")),
        "DuckDB read_csv, the objects": lambda _: bench.peer("duckdb", str(kept), database("duckdb")),
    }

    sent = bench.sent(False)

    def check(name: str, _whole: bool) -> int:
        nonlocal sent
        if name.startswith("ours"):
            before, sent = sent, bench.sent(False)
            return 0 if name.startswith("ours: the objects") else sent - before
        path = next(scratch.glob("*.duckdb"))
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE table_name NOT LIKE '\\_dlt%' ESCAPE '\\' "
                "AND schema_name NOT LIKE '%staging%'"
            ).fetchall()
            counted = sum(connection.execute(f'SELECT count(*) FROM "{s}"."{t}"').fetchall()[0][0] for s, t in tables)
        if counted != bench.rows:
            raise SystemExit(f"{name}: {counted} rows, the files have {bench.rows}")
        return 0

    result = turns(bench, peers, rounds, check)
    # After the loads the files are published: landing them again finds them unchanged.
    result |= turns(bench, {"ours: files, again": lambda _: again(bench)}, rounds, lambda *_: 0)
    bench.empty()
    return result


def loaded(bench: Bench) -> tuple[dict[str, float], dict[str, Any]]:
    """Measure COPY alone: its files are landed before, in a process that is not measured."""
    batch_id = bench.batch_id()
    bench.ours("land", batch_id=batch_id)
    return bench.ours("copy", batch_id=batch_id)


def again(bench: Bench) -> tuple[dict[str, float], dict[str, Any]]:
    result = bench.ours("again")
    if result[1]["statuses"] != ["unchanged"]:
        raise SystemExit(f"the second look says {result[1]}")
    return result


@contextmanager
def running(peers: Path) -> Iterator[Bench]:
    """Run the benchmark's own S3 and warehouse in a new home, provisioned; stop them at the end."""
    shutil.rmtree(HOME / "home", ignore_errors=True)
    os.environ.update(TELEMETRY_OFF, CXM_HOME=str(HOME / "home"), CXM_TARGET="embedded")
    os.environ.update({name: str(port) for name, port in PORTS.items() if name.startswith("CXM_")})
    settings = Settings()
    from flows import blocks
    from flows.contract.read import read_source
    from flows.steps.provision import Cloud, apply, make_plan

    with stack.hold_servers(settings, ("s3", "warehouse")) as result:
        settings = Settings()
        client = blocks.s3_client(settings)
        with blocks.snowflake(settings, "ACCOUNTADMIN", {"step": "benchmark"}) as connection:
            cloud, sources = Cloud(client), [read_source("olist")]
            apply(make_plan(cloud, connection, settings, sources), cloud, connection, settings, sources, lambda _: None)
        key, secret = settings.s3_identity
        environment = {
            **os.environ,
            "AWS_ENDPOINT_URL": result["s3"]["endpoint"],
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret.get_secret_value(),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "BENCH_BUCKET": settings.bucket,
            "BENCH_LANDED": str(HOME / "landed.pickle"),
            "BENCH_WAREHOUSE_PORT": str(result["warehouse"]["port"]),
            "BENCH_WAREHOUSE_PASSWORD": settings.warehouse_logins["CXM_EMBEDDED"].get_secret_value(),
            "SNOWFLAKE_HOME": str(HOME / "home"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        yield Bench(peers, environment, client, settings.bucket)


def made(scale: int) -> None:
    """Generate the data of a scale, unless it exists."""
    known = HOME / "data" / f"x{scale}.json"
    if not known.is_file():
        files = generate(HOME / "data" / f"x{scale}", float(scale))
        known.write_text(str(sum(f.rows for f in files)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="land,line,load,ten")
    options = parser.parse_args()
    only = options.only.split(",")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    with running(options.peers.absolute()) as bench:
        made(1)
        groups: list[tuple[str, int, Callable[[Bench, int], dict[str, Runs]], int]] = []
        groups += [("land", 1, land, options.rounds)] if "land" in only else []
        groups += [("line", 1, line, max(1, options.rounds // 2))] if "line" in only else []
        groups += [("load", 1, load, max(1, options.rounds - 2))] if "load" in only else []
        groups += [("land", 10, land, 1), ("load", 10, load, 1)] if "ten" in only else []
        for name, scale, run, rounds in groups:
            made(scale)
            bench.scale = scale
            rows = run(bench, rounds)
            results[f"{name} x{scale}"] = {
                peer: {"wall": r.wall, "cpu": r.cpu, "memory": r.memory, "inside": r.inside, "bytes": r.bytes}
                for peer, r in rows.items()
            }
            results["sizes"] = {
                **results.get("sizes", {}),
                f"x{scale}": {"bytes": sum(p.stat().st_size for p in bench.data.glob("*.csv")), "rows": bench.rows},
            }
    results["machine"] = {
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load_before": round(psutil.getloadavg()[2], 1),
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    subprocess.run([str(options.peers / "bin" / "python"), str(Path(__file__).with_name("report.py"))], check=True)


if __name__ == "__main__":
    main()
