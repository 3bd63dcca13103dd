"""Renders the reference pages architecture/settings.md and architecture/cli.md from settings and commands."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import click
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from flows.escape import wrap
from flows.settings import PROJECT, Location, Settings

DERIVED = "<!-- Derived from {} by `cxm docs sync`. -->"


def pages(command: click.Group) -> dict[Path, str]:
    """Render each derived page, by its path in the project."""
    return {
        Path("architecture/settings.md"): wrap(settings_page()),
        Path("architecture/cli.md"): wrap(cli_page(command)),
    }


def settings_page() -> str:
    """Render the page of settings: variable, type, default and description of each."""
    rows = [
        f"| `CXM_{name.upper()}` | {_takes(field)} | {_default(field)} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            DERIVED.format("`flows/settings.py`"),
            "",
            "Every setting is an environment variable, and all have defaults except the account and its login. An empty\n"
            "variable counts as not set. Set them for the process that reads them: the shell in which you type `cxm` or\n"
            "`make`, and, for deployed runs, the worker's process or the container of the run. A run reads them when it\n"
            "starts. [Deployment](deployment/README.md#2-say-which-accounts), steps 2 to 6, sets those that an AWS and a\n"
            "Snowflake account need. On a Prefect server of your own, `cxm blocks register` copies those that a run needs\n"
            "into its variables and blocks.",
            "",
            "| variable | takes | default | what it is |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _takes(field: FieldInfo) -> str:
    kinds = [a for a in get_args(field.annotation) if a is not NoneType]
    if field.annotation is bool:
        return "`true`, `false`"
    if get_origin(field.annotation) is not None and all(isinstance(a, str) for a in kinds):
        return ", ".join(f"`{a}`" for a in kinds)
    kind: Any = kinds[0] if kinds else field.annotation
    limits = {n: v for rule in field.metadata for n in ("ge", "le") if (v := getattr(rule, n, None)) is not None}
    if kind is int:
        most = f" to {limits['le']}" if "le" in limits else " on"
        return f"a whole number from {limits['ge']}{most}" if "ge" in limits else "a whole number"
    if kind is float:
        return "a number"
    pattern = next((p for rule in field.metadata if (p := getattr(rule, "pattern", None))), None)
    if pattern:
        return f"text like `{_cell(str(pattern))}`"
    return {Path: "a folder", Location: "a folder or an address", SecretStr: "a secret"}.get(kind, "text")


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, Path) or str(value).startswith(str(PROJECT)):
        return f"`{Path(value).relative_to(PROJECT)}` in the project"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def cli_page(command: click.Group) -> str:
    """Render the page of commands: arguments and options of each, as in its `--help`."""
    parts = [
        "# The commands of cxm",
        DERIVED.format("the commands' own `--help`"),
        _prose(command),
        "Every command that prints takes `--json`. What to do about an exit code: the [runbook](operations.md).",
    ]
    for path, subcommand in _commands(command, ()):
        parts += [f"## cxm {' '.join(path)}", _prose(subcommand)]
        if rows := list(_parameters(subcommand)):
            parts.append("\n".join(["| option | what it does |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in sorted(group.commands):
        subcommand = group.commands[name]
        if isinstance(subcommand, click.Group):
            yield from _commands(subcommand, (*path, name))
        elif not subcommand.hidden:
            yield (*path, name), subcommand


def _prose(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


def _parameters(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield f"| `{parameter.make_metavar(context)}` | {'' if parameter.required else 'may be left out'} |"
        elif record := parameter.get_help_record(context):
            yield f"| `{record[0]}` | {_cell(record[1])} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
