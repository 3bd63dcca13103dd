"""The `cxm` command: one line of a terminal → a flow, a query or the embedded stack; people read tables, programs `--json`."""

from flows.cli import (
    automations,
    batches,
    blocks,
    check,
    contract,
    docs,
    doctor,
    environment,
    generate,
    init,
    keys,
    provision,
    quarantine,
    report,
    run,
    sql,
    stack,
)
from flows.cli.app import main

__all__ = [
    "automations",
    "batches",
    "blocks",
    "check",
    "contract",
    "docs",
    "doctor",
    "environment",
    "generate",
    "init",
    "keys",
    "main",
    "provision",
    "quarantine",
    "report",
    "run",
    "sql",
    "stack",
]
