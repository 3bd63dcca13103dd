"""A place in a contract → an error that names it: file, schema entry, property, what was found, what was wanted, the fix."""

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
class Place:
    """Where in a contract we are; each method either gives back what it was asked for or raises `ConfigurationError`."""

    file: str
    entry: str = ""
    property: str = ""
    whole: str = field(default="", repr=False)  # the contract's, to find lines in

    def fail(self, message: str, at: Sequence[str] = ()) -> NoReturn:
        """Raise with the place in front of `message`, which says found, wanted and the fix; `at`: the custom property that it is
        about, and the keys within, for the line."""
        line = _line(self.whole, self.entry, at) if at and self.whole else None
        parts = [self.file]
        parts += [f"line {line}"] if line else []
        parts += [f"schema entry {self.entry}"] if self.entry else []
        parts += [f"property {self.property}"] if self.property else []
        raise ConfigurationError(f"{', '.join(parts)}: {message}")

    def text(self, value: str | None, key: str, example: str) -> str:
        """`value` without the space around it, which may not be all there is; `example` goes into the fix."""
        if value is None or not value.strip():
            self.fail(f"{key}: got nothing, expected a text; add `{key}: {example}`")
        return value.strip()

    def one_of(self, value: object, key: str, wanted: Iterable[str]) -> str:
        """`value`, which has to be one of `wanted`."""
        wanted = tuple(wanted)
        if value not in wanted:
            self.fail(f"{key}: got {show(value)}, expected {' or '.join(wanted)}")
        return value

    def identifier(self, name: str, key: str) -> str:
        """`name`, which has to be able to stand unquoted in Snowflake's SQL."""
        try:
            return ident(name)
        except ConfigurationError as error:
            self.fail(f"{key}: {error}")

    def once(self, names: Iterable[str], what: str) -> None:
        """Nothing, when no name is there twice."""
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            self.fail(f"{what}: got {', '.join(repeated)} more than once, expected each once; rename or remove one")

    def custom(self, found: Sequence[CustomProperty] | None, known: Iterable[str]) -> dict[str, Any]:
        """The custom properties by name; `known` are those that may be there."""
        known = tuple(known)
        self.once((str(p.property) for p in found or ()), "customProperties")
        for entry in found or ():
            if entry.property not in known:
                near = difflib.get_close_matches(str(entry.property), known, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                self.fail(
                    f"customProperties: got {show(entry.property)}, expected only {', '.join(known) or 'none'}{meant}"
                )
        return {str(p.property): p.value for p in found or ()}


def show(value: object) -> str:
    """A value as messages show it: short, on one line."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _line(text: str, entry: str, at: Sequence[str]) -> int | None:
    """The line of a key in a custom property of the contract, or of a schema entry of it."""
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
    found = _child(node, key)
    return found.value if isinstance(found, yaml.ScalarNode) else None
