"""Validates a contract's YAML against the JSON schema of the Open Data Contract Standard; reports every mistake with its line.

The `open-data-contract-standard` package ships the schema (https://bitol-io.github.io/open-data-contract-standard/). `cxm
contract check` and `sync` validate before a contract is parsed, so that a user sees all mistakes at once; a run does not, since
validation takes 0.1 s.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from flows.contract.position import show
from flows.errors import ConfigurationError

_UNKNOWN_KEY = ("additionalProperties", "unevaluatedProperties")


def check_standard(text: str, file: str) -> None:
    """Check that the text follows the standard.

    Raises:
        ConfigurationError: it does not, or is not YAML; one line for each mistake: file, line, what is wrong, the fix.
    """
    mistakes = list(find_mistakes(text))
    if mistakes:
        raise ConfigurationError("\n".join(f"{file}, line {line}: {message}" for line, message in mistakes))


def find_mistakes(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line, message) of each mistake, in the file's order; lines count from 1."""
    from jsonschema import Draft201909Validator

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        yield (mark.line + 1 if mark else 1), f"is not YAML: {getattr(error, 'problem', None) or error}"
        return
    mistakes: dict[tuple[int, str], None] = {}  # a dict, because the schema reports a key once for each of its branches
    for broken in Draft201909Validator(_schema()).iter_errors(_as_json(document)):
        path = list(broken.absolute_path)
        if broken.validator not in _UNKNOWN_KEY:
            mistakes[_line(node, path), f"{_dotted(path)}: {_message(broken)}"] = None
            continue
        for key in re.findall(r"'([^']*)'", broken.message[broken.message.rindex("(") :]):
            near = _nearest(key, broken.instance)
            fix = f"did you mean {near}?" if near else "remove it, or put it under customProperties"
            mistakes[_line(node, [*path, key]), f"{_dotted([*path, key])}: the standard has no such key; {fix}"] = None
    yield from sorted(mistakes)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(files("open_data_contract_standard").joinpath("schema.json").read_text("utf-8"))
    return schema


@cache
def _known_keys() -> frozenset[str]:
    """List every key that occurs anywhere in the schema."""

    def walk(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            if isinstance(part.get("properties"), dict):
                yield from part["properties"]
            for value in part.values():
                yield from walk(value)
        elif isinstance(part, list):
            for value in part:
                yield from walk(value)

    return frozenset(walk(_schema()))


def _nearest(key: str, instance: Any) -> str:
    """Guess the key that was meant: similar in spelling, and not yet in the object."""
    free = sorted(_known_keys() - set(instance))
    return next(iter(difflib.get_close_matches(key, free, n=1, cutoff=0.7)), "")


def _message(error: Any) -> str:
    got = show(error.instance)
    if error.validator == "enum":
        near = difflib.get_close_matches(str(error.instance), map(str, error.validator_value), n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        return f"got {got}, expected one of {', '.join(map(str, error.validator_value))}{meant}"
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"got {got}, expected {' or '.join(kinds)}"
    if error.validator == "required":
        return f"{error.message.removesuffix(' is a required property')} is missing; the standard requires it"
    return str(error.message) if len(error.message) <= 300 else f"got {got}, which the standard does not allow"


def _as_json(value: Any) -> Any:
    """Convert YAML's dates to text, as in JSON."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _line(node: yaml.Node | None, path: Sequence[int | str]) -> int:
    """Find the line of the last key or item of a path, counted from 1."""
    line = node.start_mark.line + 1 if node else 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            match = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if match is None:
                return line
            line, node = match[0].start_mark.line + 1, match[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def _dotted(path: Sequence[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the document"
