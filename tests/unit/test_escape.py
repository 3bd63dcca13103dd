"""Data is never run as code: the writers of flows/escape.py against their readers, and a contract whose fields are hostile."""

from __future__ import annotations

import html as standard
import io
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import mistune
import pytest
import sqlglot
from dbt.clients.jinja import get_rendered
from great_expectations.render.view import DefaultJinjaPageView
from rich.console import Console

from flows.cli.app import show
from flows.clients import dbt_project
from flows.contract import render_dbt, render_dictionary, render_expectations
from flows.contract.model import Rule, Source, Table
from flows.contract.read import read_source
from flows.errors import DataError
from flows.escape import code, html, jinja, markdown, one_line, terminal, visible, wrap
from flows.settings import PROJECT

SECRET = "planted-7f3a"
CALLS = (
    "{{ env_var('CXM_PLANTED') }}",
    "{% raw %}{{ env_var('CXM_PLANTED') }}{% endraw %}",
    "{% endraw %}{{ env_var('CXM_PLANTED') }}{% raw %}",
    "' }}{{ env_var('CXM_PLANTED') }}{{ '",
    "\\' }}{{ env_var('CXM_PLANTED') }}{{ '\\",
    "{{ '{{' }} env_var('CXM_PLANTED') {{ '}}' }}",
    "\\x7b\\x7b env_var('CXM_PLANTED') }}",
    "env_var('CXM_PLANTED')",
    " var ( 'CXM_PLANTED', env_var('CXM_PLANTED') ) ",
    "{# a comment #}{%- set x = env_var('CXM_PLANTED') -%}",
    "one\r\ntwo {{ env_var('CXM_PLANTED') }}\n",
    "it's 100 % \\n {% \u2028 \x1b[31m é 薬",
)
MARKS = (
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "![x](https://example.invalid/p.png)",
    "<img src=x onerror=alert(1)>",
    "a | b \\| c",
    "*a* _b_ __c__ ~~d~~ `e` ``f` \\*g\\*",
    "`a|b` \\`c`",
    "# heading\n\n- item\n1. item",
    "12. item",
    "---",
    "&lt;b&gt; &#106;&amp;",
    "[x]: javascript:alert(1)",
    "<!-- a comment",
    "$PARAMETER ${HOME} $$x",
)
STEERS = (
    "\x1b[31mred\x1b]0;title\x07",
    "v\xa0",
    "\u200bid",
    "\ufeffid",
    "a\u202eb",
    "a\rb\x9b1m",
    "[bold]x[/bold] [link=https://x]y[/link]",
)
PAYLOADS = CALLS + MARKS + STEERS


@pytest.mark.parametrize("text", PAYLOADS)
@pytest.mark.parametrize("native", [False, True])
def test_dbt_gives_back_the_text_as_it_was(text: str, native: bool) -> None:
    called: list[str] = []
    context = {"env_var": lambda *names: called.append(names[0]), "var": lambda *names: called.append(names[0])}
    assert get_rendered(jinja(text), context, native=native) == text
    assert called == []


@pytest.mark.parametrize("text", PAYLOADS)
def test_what_is_written_for_jinja_holds_none_of_its_marks_but_those_around_it(text: str) -> None:
    written = jinja(text)
    if written != text:
        assert written[:4] + written[-4:] == "{{ '' }}"
        assert not re.search(r"[{}%#'\r\n]", written[4:-4])


def _shown(page: str) -> str:
    """Return the text of a rendered page, without its tags."""
    return " ".join(
        standard.unescape(re.sub(r"</?(p|td|tr|table|tbody|thead|th|code|span)\b[^<>]*>", "", page)).split()
    )


@pytest.mark.parametrize("text", PAYLOADS)
def test_markdown_shows_the_text_and_no_markup(text: str) -> None:
    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])
    for written in (markdown(text), code(text)):
        assert not re.search(r"<(?!/?(p|code|a)>|a href=\"https:)", str(render(written))), written
    if "https:" not in text:  # some readers make a link of an address
        assert _shown(str(render(markdown(text)))) == one_line(text)
    row = f"| {markdown(text)} | {code(text, in_table=True)} | end |"
    table = str(render(f"| a | b | c |\n|---|---|---|\n{row}\n"))
    assert len(re.findall(r"<td\b", table)) == 3, table
    assert "<script" not in table
    assert "<img" not in table
    assert "javascript:" not in "".join(re.findall(r"<a [^>]*>", table))


def test_a_description_may_have_code_in_it() -> None:
    assert markdown("Whether; `true` or `a_b *`, *not*") == r"Whether; `true` or `a_b *`, \*not\*"


@pytest.mark.parametrize("text", PAYLOADS)
def test_data_docs_show_a_description_and_notes_as_text(text: str) -> None:
    view = DefaultJinjaPageView()
    for page in (view.render_string_template({"template": html(text)}), view.render_markdown(markdown(text))):
        assert not re.search(r"<(?!/?(p|span|code|br)\b)", page), page


@pytest.mark.parametrize("text", PAYLOADS)
def test_a_terminal_is_not_steered(text: str) -> None:
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=500, highlight=False, color_system=None).print(
        f"[red]{terminal(text)}[/]"
    )
    assert out.getvalue().removesuffix("\n") == visible(text).replace("\t", "        ")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\xa0\ufeff]", out.getvalue())


def test_a_table_of_the_command_line_prints_names_and_values_as_they_are() -> None:
    out = io.StringIO()
    row = {"a [red]name": "[bold]v[/bold] \x1b]0;title\x07"}
    show(Console(file=out, width=120), False, "In /tmp/[bold]x[/bold]\x1b[31m", [row])
    assert "\x1b" not in out.getvalue()
    for text in ("a [red]name", r"[bold]v[/bold] \x1b]0;title\x07", r"In /tmp/[bold]x[/bold]\x1b[31m"):
        assert text in out.getvalue()


@pytest.mark.parametrize("text", STEERS[:-1])
def test_an_error_that_quotes_a_file_shows_what_cannot_be_seen(text: str) -> None:
    assert str(DataError(f"the header has {text}")).isprintable()


def _hostile(source: Source) -> Source:
    """Return the contract with a payload in each of its texts; every payload occurs in every kind of text."""
    turn = count()

    def payload() -> str:
        return PAYLOADS[next(turn) % len(PAYLOADS)]

    def rule(original: Rule) -> Rule:
        arguments = dict(original.arguments)
        if original.kind == "in_set":
            arguments["values"] = (*arguments["values"], *PAYLOADS)  # type: ignore[misc]
        if original.kind == "regex":
            arguments["pattern"] = payload()
        return replace(original, arguments=tuple(sorted(arguments.items())), description=payload())

    def table(original: Table) -> Table:
        columns = tuple(
            replace(c, business_name=f"{c.business_name} {payload()}", description=payload()) for c in original.columns
        )
        return replace(
            original,
            business_name=f"{original.business_name} {payload()}",
            description=payload(),
            columns=columns,
            rules=tuple(map(rule, original.rules)),
        )

    return replace(
        source,
        version=payload(),
        description=" ".join(PAYLOADS),
        owner=" ".join(PAYLOADS),
        tags=PAYLOADS,
        tables=tuple(map(table, source.tables)),
    )


@pytest.fixture(scope="module")
def hostile() -> Source:
    return _hostile(read_source("olist"))


@pytest.fixture(scope="module")
def project(hostile: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project with the staging layer of the hostile contract and nothing else."""
    folder = tmp_path_factory.mktemp("hostile") / "cxm_medtech"
    left_out = shutil.ignore_patterns(
        "target", "logs", "intermediate", "marts", "olist", "synthetic", "_unit_tests.yml"
    )
    shutil.copytree(PROJECT / "dbt" / "cxm_medtech", folder, ignore=left_out)
    for name in ("snapshots", "seeds"):
        shutil.rmtree(folder / name)
    for file in (folder / "tests").glob("*.sql"):
        file.unlink()
    for path, text in render_dbt.render(hostile).items():
        file = folder / Path(path).relative_to("dbt/cxm_medtech")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def test_no_field_of_a_contract_is_run_by_dbt(hostile: Source, project: Path, tmp_path: Path) -> None:
    """68 places gave a secret of the environment to the manifest, and so to the published docs."""
    control = project / "models" / "staging" / "control.sql"
    control.write_text("select '{{ env_var('CXM_PLANTED') }}' as planted\n", encoding="utf-8")
    offline = ["--target", "embedded", "--full-refresh", "--no-introspect", "--no-populate-cache"]
    run = dbt_project.run(
        project,
        ["compile", *offline],
        {"CXM_TARGET": "embedded", "CXM_PLANTED": SECRET},
        tmp_path,
        "manifest.json",
        120,
    )
    assert run.code == 0, run.said()
    manifest: dict[str, Any] = run.document
    nodes, sources = manifest["nodes"], manifest["sources"]
    assert nodes.pop("model.cxm_medtech.control")["compiled_code"] == f"select '{SECRET}' as planted"
    assert SECRET not in json.dumps([nodes, sources, manifest["docs"], manifest["exposures"], manifest["metrics"]])
    files = [f for f in (tmp_path / "target").rglob("*") if f.is_file() and f.name != "control.sql"]
    assert [f for f in files if f.suffix == ".sql" and SECRET in f.read_text(errors="replace")] == []

    models = render_dbt.staging_models(hostile)
    for table in hostile.tables:
        entry = sources[f"source.cxm_medtech.olist.{table.name}"]
        assert entry["description"] == table.description
        assert entry["source_description"] == hostile.description
        assert entry["config"]["meta"]["business_name"] == table.business_name
        assert entry["config"]["meta"]["owner"] == hostile.owner
        assert entry["config"]["meta"]["contract_version"] == hostile.version
        assert set(entry["config"]["tags"]) == set(hostile.tags)
        model = nodes[f"model.cxm_medtech.{models[table.raw_name]}"]
        names = render_dbt.staging_columns(hostile, table)
        for column in table.columns:
            assert entry["columns"][column.name]["description"] == column.description
            assert entry["columns"][column.name]["config"]["meta"]["business_name"] == column.business_name
            assert model["columns"][names[column.name]]["description"] == column.description
    tested = [n for n in nodes.values() if n.get("test_metadata", {}).get("name") == "accepted_values"]
    assert tested
    for node in tested:
        statement = sqlglot.parse_one(node["compiled_code"], dialect="snowflake")
        assert set(PAYLOADS) <= {one.this for one in statement.find_all(sqlglot.exp.Literal)}


def test_the_pages_and_suites_of_a_hostile_contract_hold_no_markup(hostile: Source) -> None:
    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough", "url"])
    [page], [plain] = (tuple(render_dictionary.render(s).values()) for s in (hostile, read_source("olist")))
    tags, expected = (
        Counter(re.findall(r"<(?!code|a |/)[\w!-]+", str(render(text)))) for text in (page, plain)
    )  # except code spans and links, whose targets are checked below
    assert tags == expected
    targets = re.findall(r'<a href="([^"]*)"', str(render(page)))
    assert not [
        t
        for t in targets
        if not t.startswith(("https://x", "https://example.invalid", "#olist_"))
        and t not in ("business_definitions.md", "lineage.md", "olist.odcs.yaml")
    ]
    for row in page.split("## Source")[1].splitlines():
        if row.startswith("| `"):
            assert len(re.split(r"(?<!\\)\|", row)) in (5, 9), row
    for path, text in render_expectations.render(hostile).items():
        if path.startswith(f"{render_expectations.PROJECT_DIRECTORY}/expectations/"):
            suite = json.loads(text)
            shown = [suite["notes"], *(e["description"] for e in suite["expectations"] if "description" in e)]
            assert not [text for text in shown if "<" in text]


def test_a_page_is_wrapped_but_for_its_tables_and_code_and_reads_the_same() -> None:
    long = "The contract of the table says `a b c` and 2019. Then it goes on " * 3
    page = "\n".join(
        ["# Title", "", long + "- not a list", "", f"- {long}1) no list", "| " + long, "```", long, "```", ""]
    )
    wrapped = wrap(page)
    lines = wrapped.split("\n")
    assert wrapped.split() == page.split()
    assert [line for line in lines if len(line) > 100] == ["| " + long, long], "a table and a block of code stay"
    assert not [line for line in lines[1:] if line.startswith(("- not", "1) no", "  1) no"))]
    assert wrap(wrapped) == wrapped
