"""Measures what the parts of landing cost, in CPU seconds: imports once for each process, the rest for each byte.

python -m tests.benchmarks.parts FOLDER_WITH_OLIST
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from flows.codec import CODECS
from flows.contract.read import read_source
from flows.steps.land.csv_fast import scanned

ROUNDS = 5
STARTS = {
    "the interpreter": "",
    "numpy": "import numpy",
    "the contract: pydantic, ODCS, YAML": "from flows.contract.read import read_source; read_source('olist')",
    "boto3 and its client": (
        "import boto3; boto3.client('s3', region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')"
    ),
}


def start(code: str) -> float:
    """Return the CPU seconds of a Python process that only runs `code`."""
    probe = "import time; print(time.process_time())"
    ended = subprocess.run([sys.executable, "-c", f"{code}\n{probe}"], capture_output=True, text=True, check=True)
    return float(ended.stdout)


def spent(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(data: Path) -> None:
    source = read_source("olist")
    blocks: list[bytes] = []
    for table in source.tables:
        with (data / table.file).open("rb") as file:
            blocks += [block.data for block in scanned(file, table)]

    def scan() -> None:
        for table in source.tables:
            with (data / table.file).open("rb") as file:
                for _ in scanned(file, table):
                    pass

    def sha() -> None:
        digest = hashlib.sha256()
        for block in blocks:
            digest.update(block)

    def compress(name: str) -> Callable[[], None]:
        def work() -> None:
            compressor = CODECS[name].compressor(0)  # type: ignore[index]
            for block in blocks:
                compressor.compress(block)
            compressor.flush()

        return work

    size = sum(map(len, blocks)) / 1e6
    base = median(start("") for _ in range(ROUNDS))
    rows = [("the interpreter", base)]
    rows += [(name, median(start(code) for _ in range(ROUNDS)) - base) for name, code in STARTS.items() if code]
    parts = {"check and count": scan, "SHA-256": sha, "zstd": compress("zstd"), "gzip": compress("gzip")}
    rows += [(f"{name}, {size:.0f} MB", median(spent(work) for _ in range(ROUNDS))) for name, work in parts.items()]
    for name, seconds in rows:
        print(f"| {name} | {seconds:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
