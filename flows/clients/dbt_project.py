"""Runs a dbt command on the project and returns its artifact, exit code and errors.

Everything dbt writes goes under a `workdir`, so that two homes do not share one `target/`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.clients import dbt
from flows.clients.dbt import run_dbt
from flows.errors import InfrastructureError


@dataclass(frozen=True, slots=True)
class Command:
    """A finished dbt command: its artifact, its exit code, and (node, message) of each error; node is "" for general errors."""

    document: dict[str, Any]
    code: int
    errors: tuple[tuple[str, str], ...]

    def said(self, node_id: str = "") -> str:
        """Join dbt's error messages about one node, or all of them."""
        return " ".join(message for node, message in self.errors if node_id in ("", node))


def run(
    project: Path,
    arguments: list[str],
    environment: Mapping[str, str],
    workdir: Path,
    artifact: str,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    alone: bool = False,
) -> Command:
    """Run `dbt arguments` on the project, with target and logs under `workdir`.

    `artifact` is the result file in the target folder. `on_line` gets each line of dbt's log, in JSON, soon after it was written.
    `alone`: write only that artifact, no manifest.

    Raises:
        InfrastructureError: dbt did not start, did not end in time, or wrote no such artifact.
    """
    target, logs = workdir / "target", workdir / "logs"
    target.mkdir(parents=True, exist_ok=True)
    result = target / artifact
    result.unlink(missing_ok=True)  # otherwise, if dbt fails early, an old one would be read as this run's
    command = [
        "--log-format",
        "json",
        "--log-format-file",
        "text",
        "--no-use-colors-file",
        "--no-version-check",
        *(["--log-level", "debug"] if on_line else []),
        *arguments,
    ]
    output, code = run_dbt(
        command, environment, workdir, timeout, on_line, result if alone else None, _options(project, workdir)
    )
    done = Command({}, code, tuple(_errors(output)))
    if not result.exists():
        raise InfrastructureError(
            f"dbt {' '.join(arguments)} ended with exit code {code} and wrote no {artifact}; its log is in {logs}. "
            f"dbt said: {done.said()}"
        )
    return replace(done, document=json.loads(result.read_text(encoding="utf-8")))


def prepare(project: Path, environment: Mapping[str, str], workdir: Path) -> None:
    """Have dbt read the project by the time that a command with `alone` is run; returns at once."""
    workdir.mkdir(parents=True, exist_ok=True)
    dbt.prepare(_options(project, workdir), environment, workdir)


def _options(project: Path, workdir: Path) -> list[str]:
    options = ["--project-dir", str(project), "--profiles-dir", str(project)]
    return [*options, "--target-path", str(workdir / "target"), "--log-path", str(workdir / "logs")]


def _errors(output: str) -> Iterator[tuple[str, str]]:
    """Yield (node, message) of each error that dbt logged, and of each line outside its log, such as a traceback."""
    for line in output.splitlines():
        try:
            event = json.loads(line)
            level, message, data = event["info"]["level"], event["info"]["msg"], event["data"]
        except (ValueError, TypeError, KeyError):
            if line.strip():
                yield "", line.strip()
            continue
        if level == "error":
            yield data.get("node_info", {}).get("unique_id", ""), " ".join(message.split())
