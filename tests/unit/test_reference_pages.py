"""The reference pages: settings and commands derive from the code, and the contract's page names every key that is read."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import get_args

import pytest
from pydantic import ValidationError

from flows.cli import main
from flows.cli.reference import pages
from flows.contract import model
from flows.contract.sync import compare
from flows.settings import PROJECT, Settings
from tests.pages import check_cxm

CONTRACT = PROJECT / "architecture" / "contract.md"


def test_the_pages_of_settings_and_commands_are_those_of_the_code() -> None:
    differs = [str(one.path) for one in compare(PROJECT, pages(main))]
    assert differs == [], "run `cxm docs sync`"


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, one in Settings.model_fields.items() if not one.description] == []


def test_the_contracts_page_names_every_property_of_ours_that_is_read() -> None:
    page = CONTRACT.read_text(encoding="utf-8")
    code = "".join(file.read_text(encoding="utf-8") for file in (PROJECT / "flows" / "contract").glob("read*.py"))
    own = {
        name
        for names in re.findall(r"place\.custom\(\s*[^,]+,\s*\(([^)]*)\),?\s*\)", code)
        for name in re.findall(r'"(\w+)"', names)
    }
    assert len(own) > 4
    assert {name for name in own if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    "kind", ["Load", "LogicalType", "Classification", "Pii", "Severity", "OnNewColumn", "OnMissingColumn", "OnReorder"]
)
def test_the_contracts_page_names_every_value_of_a_key(kind: str) -> None:
    page = CONTRACT.read_text(encoding="utf-8")
    assert {value for value in get_args(getattr(model, kind)) if f"`{value}`" not in page} == set()


def test_make_run_ends_with_what_to_do_next_and_each_of_it_exists() -> None:
    done = subprocess.run(["make", "-n", "run"], cwd=PROJECT, check=True, capture_output=True, text=True)
    said = done.stdout.split("What to do next:")[1]
    for word in re.findall(r"'  (\S+(?: \S+)*)   ", said):
        name, *words = shlex.split(word)
        if name == "make":
            subprocess.run(["make", "-n", *words], cwd=PROJECT, check=True, capture_output=True)
        elif name.endswith("/cxm"):
            check_cxm(words, word)
        else:
            assert (PROJECT / name).exists()


def test_settings_do_not_change() -> None:
    settings = Settings()
    for name in Settings.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, None)
    hash(settings)  # raises for a list, a set or a dict, whose content could change
