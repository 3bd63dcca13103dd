"""`cxm contract`: commands for the contracts under data_dictionary/ and the files derived from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.app import Group, current_settings, json_option, main, make_console, plain, show
from flows.errors import ConfigurationError
from flows.escape import terminal

if TYPE_CHECKING:
    from flows.contract.model import Source
    from flows.contract.sync import Difference


@main.group(cls=Group)
def contract() -> None:
    """The contracts under data_dictionary/ and the files derived from them."""


@contract.command()
@json_option
def sync(as_json: bool) -> None:
    """Write the derived files: dbt sources, Great Expectations suites, the readable dictionary."""
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    contract_sync.check_standard(PROJECT)
    changed = [{"written": str(path)} for path in contract_sync.sync(PROJECT)]
    show(make_console(as_json), as_json, "Derived files written", changed, empty="every derived file is up to date")
    if changed and not as_json:
        click.echo("Before you commit, `cxm contract lineage` brings the columns' lineage up to date as well.")


@contract.command()
@json_option
def check(as_json: bool) -> None:
    """Fail (exit code 2) if a contract breaks the standard, a derived file is out of date, or a mart's
    column is made of personal data and has no class of its own."""
    from flows.contract import sync as contract_sync
    from flows.contract.personal import check_classes
    from flows.settings import PROJECT

    contract_sync.check_standard(PROJECT)
    check_classes(PROJECT)
    tell_differences(contract_sync.check(PROJECT), as_json, "cxm contract sync")


@contract.command()
@click.argument("ref", required=False)
@click.option("--source", help="The contract to compare; by default all contracts of the project.")
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Fail (exit code 2) if a breaking change has no new major version.",
)
@json_option
def diff(ref: str | None, source: str | None, only_check: bool, as_json: bool) -> None:
    """Show what changed in a contract since REF, and which version number that requires.

    REF is a git ref (branch, tag, commit) or a file; by default the commit that introduced the contract's current version.
    """
    from flows.contract import compare
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT

    contracts = [c for c in contract_sync.contracts_of(PROJECT) if source in (None, c.name)]
    if not contracts:
        raise ConfigurationError(f"--source {source}: got no contract of that name; see data_dictionary/")
    console = make_console(as_json)
    documents: list[dict[str, Any]] = []
    refused: list[str] = []
    for new in contracts:
        base, old = _before(new, ref)
        if old is None:
            documents.append({"source": new.name, "since": base, "version": new.version, "changes": []})
            if not as_json:
                console.print(f"{new.name}: nothing to compare with ({terminal(str(base))})")
            continue
        changes = compare.compare(old, new)
        asked = compare.version_for(old.version, changes)
        documents.append(
            {
                "source": new.name,
                "since": base,
                "version_before": old.version,
                "version": new.version,
                "asks_for": asked,
                "changes": [plain(change) for change in changes],
            }
        )
        if compare.breaks_within_major(old, new, changes):
            breaking = [c for c in changes if c.level == "breaking"]
            first = f"{breaking[0].table} {breaking[0].column}".strip() or "contract"
            refused.append(
                f"{new.contract}: {len(breaking)} breaking changes since {base} ({first}: {breaking[0].what}), version "
                f"{old.version} → {new.version}; set `version: {asked}`, or take the changes back"
            )
        if not as_json:
            title = f"{new.name}: {old.version} → {new.version} since {base}"
            empty = f"{new.name}: no changes since {base} (version {new.version})"
            show(console, False, title, [plain(change) for change in changes], empty=empty)
            if changes:
                console.print(f"These changes ask for version {asked}.")
    if as_json:
        click.echo(json.dumps(documents, ensure_ascii=False))
    if refused and only_check:
        raise ConfigurationError("\n".join(refused))


@contract.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--source", required=True, help="The contract to write to; created if it does not exist.")
@click.option("--print", "only_print", is_flag=True, help="Print the text instead of writing it.")
@click.option("--update", is_flag=True, help="Compare the files with the entries that exist, and propose changes.")
@json_option
def draft(files: Sequence[Path], source: str, only_print: bool, update: bool, as_json: bool) -> None:
    """Draft a contract for CSV files that have none: names, types, keys, value sets, links, likely personal data.

    Every record is read. Guesses are marked by comments in the draft.
    """
    from flows.contract import drafts
    from flows.contract.read import DICTIONARY, SUFFIX
    from flows.settings import PROJECT
    from flows.steps.draft import profile_files

    console, settings = make_console(as_json), current_settings()
    path = PROJECT / DICTIONARY / f"{source}{SUFFIX}"
    drafts.check_name(source)
    parents = drafts.parents(PROJECT, source, Path(settings.data))
    with console.status("reading the files"):
        profiles = profile_files(files, source, [p for p in parents if p.path not in files])
    if update:
        proposals = drafts.propose(PROJECT, source, profiles)
        show(console, as_json, "Proposed changes", [plain(p) for p in proposals], empty="the contract fits these files")
        return
    text = drafts.add_entries(PROJECT, source, profiles)
    if only_print:
        click.echo(text, nl=False)
        return
    path.write_text(text, encoding="utf-8")
    rows = [
        {
            "table": p.table,
            "records": p.rows,
            "columns": len(p.columns),
            "key": ", ".join(p.key),
            "links": ", ".join(f"{link.header} → {link.parent}" for link in p.links),
            "personal (guess)": ", ".join(c.header for c in p.columns if c.pii != "none"),
        }
        for p in profiles
    ]
    show(console, as_json, f"Written to {DICTIONARY}/{path.name}", rows)
    if not as_json:
        console.print(
            f"Read it, then: cxm contract sync; cxm run --source {source} --data {terminal(str(files[0].parent))}"
        )


def _before(new: Source, ref: str | None) -> tuple[str, Source | None]:
    """Return the version to compare with: its name, and the contract at that version."""
    from flows.contract import history
    from flows.settings import PROJECT

    if ref and Path(ref).is_file():
        return ref, history.read_file(Path(ref))
    commit = ref or history.commit_before_version(PROJECT, new)
    if commit is None:
        return "not committed yet", None
    return ref or commit[:7], history.read_at(PROJECT, new.name, commit)


@contract.command()
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Write nothing; fail (exit code 2) if the page is out of date.",
)
@json_option
def lineage(only_check: bool, as_json: bool) -> None:
    """Write data_dictionary/lineage.md: the lineage of each column from file to mart.

    It is read from the models' SQL after `dbt compile`; it needs no server and takes some seconds.
    """
    from flows.contract import lineage as columns
    from flows.contract import render_lineage
    from flows.contract import sync as contract_sync
    from flows.settings import PROJECT
    from flows.steps.dbt import compiled

    contracts = contract_sync.contracts_of(PROJECT)
    # dbt-bouncer reads the manifest from there, so that `make lint` parses the dbt project only once.
    manifest = compiled(PROJECT / "dbt" / "cxm_medtech", PROJECT / ".cxm" / "compiled")
    page = render_lineage.render(columns.trace(manifest, contracts), contracts)
    expected = {Path(path): text for path, text in page.items()}
    if only_check:
        tell_differences(contract_sync.compare(PROJECT, expected), as_json, "cxm contract lineage")
        return
    written = [{"written": str(path)} for path in contract_sync.write(PROJECT, expected)]
    show(make_console(as_json), as_json, "Derived files written", written, empty="the lineage is up to date")


def tell_differences(differences: Sequence[Difference], as_json: bool, fix: str) -> None:
    if as_json:
        click.echo(json.dumps([plain(d) for d in differences], ensure_ascii=False))
    for difference in differences if not as_json else ():
        click.echo(f"{difference.path}: {difference.reason}\n{difference.diff}")
    if differences:
        raise ConfigurationError(f"{len(differences)} derived files differ from what they derive from; run `{fix}`")
    if not as_json:
        click.echo("every derived file is as it should be")
