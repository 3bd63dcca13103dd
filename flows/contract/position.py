"""A position in a contract, for errors that name it: file, line, schema entry, property, what was got and expected, the fix."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml
from open_data_contract_standard.model import CustomProperty

from flows.contract.sql import ident
from flows.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a contract. Each method checks a value and returns it, or raises `ConfigurationError`."""

    file: str
    entry: str = ""
    property: str = ""
    whole: str = field(default="", repr=False)  # the contract's text, to find line numbers

    def fail(self, message: str, at: Sequence[str] = ()) -> NoReturn:
        """Raise with this position in front of `message`, which says got, expected and the fix. `at`: the custom property in
        question and the keys within it, to find the line."""
        line = _line(self.whole, self.entry, at) if at and self.whole else None
        parts = [self.file]
        parts += [f"line {line}"] if line else []
        parts += [f"schema entry {self.entry}"] if self.entry else []
        parts += [f"property {self.property}"] if self.property else []
        raise ConfigurationError(f"{', '.join(parts)}: {message}")

    def text(self, value: str | None, key: str, example: str) -> str:
        """Return `value` without surrounding space; it must not be empty. `example` is shown in the fix."""
        if value is None or not value.strip():
            self.fail(f"{key}: got nothing, expected a text; add `{key}: {example}`")
        return value.strip()

    def one_of(self, value: object, key: str, expected: Iterable[str]) -> str:
        """Return `value`, which must be one of `expected`."""
        expected = tuple(expected)
        if value not in expected:
            self.fail(f"{key}: got {show(value)}, expected {' or '.join(expected)}")
        return value

    def identifier(self, name: str, key: str) -> str:
        """Return `name`, which must be a valid unquoted identifier in Snowflake."""
        try:
            return ident(name)
        except ConfigurationError as error:
            self.fail(f"{key}: {error}")

    def once(self, names: Iterable[str], what: str) -> None:
        """Raise if a name occurs more than once."""
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            self.fail(f"{what}: got {', '.join(repeated)} more than once, expected each once; rename or remove one")

    def custom(self, properties: Sequence[CustomProperty] | None, known: Iterable[str]) -> dict[str, Any]:
        """Return the custom properties' values by name; only `known` ones are allowed."""
        known = tuple(known)
        self.once((str(p.property) for p in properties or ()), "customProperties")
        for entry in properties or ():
            if entry.property not in known:
                near = difflib.get_close_matches(str(entry.property), known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                self.fail(
                    f"customProperties: got {show(entry.property)}, expected only {', '.join(known) or 'none'}{meant}"
                )
        return {str(p.property): p.value for p in properties or ()}


def show(value: object) -> str:
    """Format a value for messages: short, on one line."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _line(text: str, entry: str, at: Sequence[str]) -> int | None:
    """Find the line of a key in a custom property of the contract or of one of its schema entries."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    if entry:
        node = next((e for e in _items(_child(node, "schema")) if _value(e, "name") == entry), None)
    node = next((p for p in _items(_child(node, "customProperties")) if _value(p, "property") == at[0]), None)
    if node is None:
        return None
    node, line = _child(node, "value"), node.start_mark.line + 1
    for key in at[1:]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        name, node = next(((k, v) for k, v in pairs if k.value == key), (None, None))
        line = name.start_mark.line + 1 if name else line
    return int(line)


def _child(node: Any, key: str) -> Any:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for name, value in pairs if name.value == key), None)


def _items(node: Any) -> list[Any]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _value(node: Any, key: str) -> str | None:
    child = _child(node, key)
    return child.value if isinstance(child, yaml.ScalarNode) else None
