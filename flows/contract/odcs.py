"""Parses a contract's YAML into the ODCS package's model, and refuses unknown and repeated keys.

The package ignores keys that it does not know, and YAML keeps only the last of two equal keys: either way a misspelt or repeated
line would silently switch a rule off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard
from pydantic import ValidationError

from flows.contract.position import Position, show

# libyaml's parser if PyYAML was built with it, as its wheels are: it takes a tenth of the time.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, place: Position) -> OpenDataContractStandard:
    """Parse the document; every key must be known.

    Raises:
        ConfigurationError: not YAML, a repeated key, a key that ODCS v3.1 does not know, or a value of the wrong type.
    """
    try:
        _refuse_repeated_keys(yaml.compose(text, Loader=_Loader), place)
        raw = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        place.fail(f"is not YAML: {error}")
    if not isinstance(raw, dict):
        place.fail(f"got {show(raw)}, expected an Open Data Contract Standard document")
    try:
        contract = OpenDataContractStandard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = _path(raw, first["loc"])
        place.fail(f"{where}: got {show(first['input'])}; ODCS v3.1 says: {first['msg']}")
    _refuse_unknown_keys(raw, contract.model_dump(by_alias=True, exclude_unset=True), (), raw, place)
    return contract


def _refuse_repeated_keys(node: yaml.Node | None, place: Position) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                place.fail(f"line {line}: got the key {key.value} again, expected each key once; remove one")
            seen.add(key.value)
            _refuse_repeated_keys(value, place)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_repeated_keys(value, place)


def _refuse_unknown_keys(given: Any, parsed: Any, at: tuple[int | str, ...], raw: Any, place: Position) -> None:
    """Refuse keys that the file has and the parsed model does not: ODCS does not know them."""
    if isinstance(given, dict) and isinstance(parsed, dict):
        for key, value in given.items():
            if key not in parsed:
                place.fail(f"{_path(raw, (*at, key))}: ODCS v3.1 has no such key; correct or remove it")
            _refuse_unknown_keys(value, parsed[key], (*at, key), raw, place)
    elif isinstance(given, list) and isinstance(parsed, list):
        for index, (value, other) in enumerate(zip(given, parsed, strict=True)):
            _refuse_unknown_keys(value, other, (*at, index), raw, place)


def _path(raw: Any, location: Sequence[int | str]) -> str:
    """Return a readable path: `("schema", 0, "properties", 2, "x")` → `schema[orders].properties[order_status].x`."""
    text, here = "", raw
    for part in location:
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
        if isinstance(part, int):
            named = isinstance(here, dict) and (here.get("name") or here.get("server") or here.get("property"))
            text += f"[{named or part}]"
        else:
            text += f".{part}" if text else part
    return text
