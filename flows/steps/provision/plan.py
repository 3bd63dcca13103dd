"""Compares what is expected with what exists. A plan has items, each with the calls or the SQL that would fix it, in order.

Nothing here connects anywhere. A plan is shown as text for a worksheet and a shell, as markdown for Prefect, or as JSON.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

ADMINISTRATOR = "ACCOUNTADMIN"  # the only role that may see and do everything that provisioning needs

# hidden: it exists, and the reading role may not see its properties.
Action = Literal["created", "changed", "removed", "unchanged", "hidden"]


@dataclass(frozen=True, slots=True)
class Change:
    """One checked object, and what provisioning did to it."""

    kind: str
    name: str
    action: Action


@dataclass(frozen=True, slots=True)
class Call:
    """One AWS call; `arguments` are boto3's. `cli` is the same call for a shell.

    `secret`: the answer holds an access key, which goes to a Prefect block and nowhere else.
    """

    service: str
    operation: str  # as botocore's method: put_bucket_policy
    arguments: Mapping[str, Any]
    secret: bool = False

    @property
    def cli(self) -> str:
        """The call as an `aws` command (https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-parameters-types.html)."""
        words = ["aws", {"s3": "s3api"}.get(self.service, self.service), self.operation.replace("_", "-")]
        for name, value in self.arguments.items():
            if isinstance(value, bool):  # the CLI spells a false flag --no-…
                words.append(f"--{'' if value else 'no-'}{kebab(name)}")
                continue
            words.append(f"--{kebab(name)}")
            words.append(value if isinstance(value, str) else json.dumps(value))
        return shlex.join(words)

    def run(self, clients: Mapping[str, Any]) -> dict[str, Any]:
        """Make the call and return botocore's response."""
        answer: dict[str, Any] = getattr(clients[self.service], self.operation)(**self.arguments)
        return answer


def kebab(name: str) -> str:
    """Spell a boto3 argument as the AWS CLI does: `PublicAccessBlockConfiguration` → `public-access-block-configuration`."""
    from botocore import xform_name

    return str(xform_name(name, "-"))


@dataclass(frozen=True, slots=True)
class Item:
    """One object: how it differs (`why`: got, expected) and the steps that fix it; no steps if it does not differ.

    `runs_as` is `AWS` or the Snowflake role that has the right; steps are `Call`s or SQL statements without their semicolon.
    """

    runs_as: str
    kind: str
    name: str
    action: Action
    why: str = ""
    steps: tuple[Call | str, ...] = ()

    @property
    def change(self) -> Change:
        return Change(self.kind, self.name, self.action)


@dataclass(frozen=True, slots=True)
class Plan:
    """Items in the order in which they are applied.

    `role` is the Snowflake role that read the account; `sees_all`: whether it sees every object.
    """

    items: tuple[Item, ...]
    role: str = ADMINISTRATOR
    sees_all: bool = True

    @property
    def todo(self) -> tuple[Item, ...]:
        """The items that differ."""
        return tuple(item for item in self.items if item.action not in ("unchanged", "hidden"))

    @property
    def hidden(self) -> tuple[Item, ...]:
        """The objects that the role may not see, so that they were not compared."""
        return tuple(item for item in self.items if item.action == "hidden")

    @property
    def counts(self) -> str:
        """`3 to create, 1 to change, 40 unchanged`."""
        actions = [item.action for item in self.items]
        words: dict[Action, str] = {
            "created": "to create",
            "changed": "to change",
            "removed": "to remove",
            "unchanged": "unchanged",
            "hidden": f"not visible to {self.role}",
        }
        return ", ".join(f"{actions.count(a)} {word}" for a, word in words.items() if a in actions) or "nothing"

    def text(self) -> str:
        """Render the plan as SQL for a worksheet, with AWS calls as comments (`-- $ aws …`); grouped by who runs it."""
        return "\n".join([*self._head(), *_lines(self.todo)]) + f"\n-- Plan: {self.counts}.\n"

    def _head(self) -> Iterator[str]:
        """Yield the reading role, if it is not the administrator, and the objects that it may not see."""
        if self.role != ADMINISTRATOR:
            blind = "" if self.sees_all else "; an object that this role cannot see is listed as missing"
            yield f"-- Looked as {self.role}{blind}."
        for item in self.hidden:
            yield f"-- not visible to {self.role}: {item.kind} {item.name}: {item.why}"

    def markdown(self) -> str:
        """Render the plan as a Prefect artifact: a table of the differences, then the text."""
        if not self.todo and not [*self._head()]:
            return f"Nothing to do: {self.counts}."
        rows = [f"| {i.action} | {i.kind} | {_cell(i.name)} | {_cell(i.why)} | {i.runs_as} |" for i in self.todo]
        head = ["| will be | what | name | why | runs as |", "|---|---|---|---|---|"]
        return "\n".join([f"**{self.counts}**", "", *head, *rows, "", "```sql", self.text().rstrip(), "```"])

    def json(self) -> dict[str, Any]:
        """Return the plan as JSON for programs."""
        items = [
            {
                "runs_as": i.runs_as,
                "kind": i.kind,
                "name": i.name,
                "action": i.action,
                "why": i.why,
                "steps": [s.cli if isinstance(s, Call) else s for s in i.steps],
            }
            for i in self.todo
        ]
        hidden = [{"kind": i.kind, "name": i.name, "why": i.why} for i in self.hidden]
        return {"changes": items, "counts": self.counts, "looked_as": self.role, "not_visible": hidden}


def _lines(items: Iterable[Item]) -> Iterator[str]:
    for runs_as, group in groupby(items, key=lambda i: i.runs_as):
        yield f"-- {'AWS' if runs_as == 'AWS' else f'Snowflake, as {runs_as}'} {'-' * 60}"
        if runs_as != "AWS":
            yield f"USE ROLE {runs_as};\n"
        for item in group:
            yield f"-- {item.kind} {item.name}: {item.why}"
            for step in item.steps:
                yield f"-- $ {step.cli}" if isinstance(step, Call) else f"{step};"
            yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def changes(items: Sequence[Item]) -> tuple[Change, ...]:
    """Return the result for each item."""
    return tuple(item.change for item in items)
