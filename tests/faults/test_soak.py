"""Thirty random rounds: faults of every kind on both servers, kills, undos, archives; after each, every row is there once."""

from __future__ import annotations

import random
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from flows.contract.model import Source
from flows.errors import InfrastructureError
from tests.faults import batch
from tests.faults.conftest import Proxied, Waits
from tests.faults.proxy import Fault, Request, Rule
from tests.faults.test_faults import S3_FAULTS, WAREHOUSE_FAULTS, go_round
from tests.faults.test_kills import SECONDS, run_ward, undo_ward

ROUNDS = 30


def mixed(faults: dict[str, Fault], rate: float, draw: random.Random) -> Rule:
    """Return a rule that strikes with any of the faults at this rate; errors of a session strike statements only."""
    kinds = list(faults.values())

    def rule(request: Request) -> Fault | None:
        fault = draw.choice(kinds) if draw.random() < rate else None
        return fault if fault is None or fault.status != 200 or request.sql else None

    return rule


@pytest.mark.soak
def test_thirty_random_rounds_leave_each_row_once(
    processes: ForkServerContext,
    proxied: Proxied,
    source: Source,
    tmp_path: Path,
    waits: Waits,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    draw = random.Random(seed)
    history: list[str] = []
    with capsys.disabled():
        sys.stdout.write(f"\nsoak: seed {seed}\n")
    folder = tmp_path / "ward"
    for number in range(1, ROUNDS + 1):
        before = batch.batches_in_raw(proxied.direct, source)
        batch.write_files(folder, source, draw)
        rate = draw.choice([0.01, 0.1, 0.5])
        what = draw.choice(["run", "run", "killed run", "killed undo", "run and archive"])
        history.append(f"{number}: {what} at {rate:.0%}")
        proxied.s3.rule = mixed(S3_FAULTS, rate, draw)
        proxied.warehouse.rule = mixed(WAREHOUSE_FAULTS, rate, draw)
        try:
            if what.startswith("killed"):
                work = run_ward if what == "killed run" or not before else undo_ward
                killed(processes, work, proxied, folder, draw)
            else:
                batch.run_batch(proxied.settings, source, folder, batch.new_run())
                if what.endswith("archive"):
                    batch.again(lambda: go_round(proxied, source))
        except InfrastructureError as error:  # it gave up, with the right class
            history.append(f"   {str(error)[:100]}")
        proxied.clear()
        if what.endswith("archive"):
            go_round(proxied, source)  # the next maintenance finishes what this one began
        batch.run_batch(proxied.direct, source, folder, batch.new_run())
        where = f"seed {seed}\n" + "\n".join(history)
        expected = batch.read_files(folder, source)
        assert batch.published_rows(proxied.direct, source) == expected, where
        assert batch.in_raw(proxied.direct, source, before) == expected, where
        assert batch.differences(proxied.direct, source) == (), where


def killed(processes: ForkServerContext, work: Any, proxied: Proxied, folder: Path, draw: random.Random) -> None:
    """Do the work in a process that is killed at one of its first 50 requests to the warehouse, if it gets so far."""
    args = (str(proxied.settings.home), str(folder), batch.new_run().batch_id)
    process = processes.Process(target=work, args=args)
    inner, left = proxied.warehouse.rule, draw.randint(1, 50)

    def rule(request: Request) -> Fault | None:
        nonlocal left
        left -= 1
        if left:
            return inner(request)
        return Fault(draw.choice(["reset before", "reset during", "reset after"]), strike=process.kill)

    proxied.warehouse.rule = rule
    process.start()
    process.join(SECONDS)
    process.kill()
    process.join()
