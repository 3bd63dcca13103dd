"""`cxm contract diff`: what changed in a contract, how far it reaches, and the version that it asks for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.contract import compare, history
from flows.contract.read import PROJECT, read_source
from flows.errors import ConfigurationError

CLINIC = (Path(__file__).parents[1] / "golden" / "clinic.odcs.yaml").read_text(encoding="utf-8")
OPENED = """      - name: opened_on
        businessName: Opened on
        description: The site's first day.
        logicalType: date
        logicalTypeOptions: {format: "yyyy-MM-dd"}
        required: false
        classification: public
        customProperties: [{property: pii, value: none}]
"""
HOSPITAL = """      - name: is_hospital
        businessName: Hospital
        description: Whether patients stay overnight.
        logicalType: boolean
        required: true
        classification: public
        customProperties: [{property: pii, value: none}]
"""
KEY = "        primaryKey: true\n        primaryKeyPosition: 1\n"

# (text replaced, by what) → the changes, each "level column: what"
CASES = [
    pytest.param(
        [("The site's first day.", "Its first day.")],
        ["note opened_on: description changed"],
        id="words",
    ),
    pytest.param(
        [(OPENED, "")],
        ["breaking opened_on: column removed"],
        id="column-removed",
    ),
    pytest.param(
        [(OPENED + HOSPITAL, HOSPITAL + OPENED)],
        ["breaking : order of the columns changed"],
        id="reordered",
    ),
    pytest.param(
        [("logicalType: number", "logicalType: integer")],
        ["breaking rating: logicalType: number → integer"],
        id="type",
    ),
    pytest.param(
        [("maximum: 10", "maximum: 9")],
        ["breaking rating: rule between: max 10 → max 9"],
        id="maximum-lowered",
    ),
    pytest.param(
        [("maximum: 10", "maximum: 11")],
        ["widening rating: rule between: max 10 → max 11"],
        id="maximum-raised",
    ),
    pytest.param(
        [("maximum: 10", "maximum: 10, minimum: 0")],
        ["breaking rating: rule between: max 10 → max 10, min 0"],
        id="minimum-new",
    ),
    pytest.param(
        [("{3}$", "{4}$")],
        ["breaking site: rule regex: pattern ^[A-Z]{3}$ → pattern ^[A-Z]{4}$"],
        id="pattern",
    ),
    pytest.param(
        [(KEY, "        required: true\n"), ("        primaryKeyPosition: 2\n", "")],
        ["breaking : primary key: SITE_CODE, VISIT_NO → VISIT_NO", "breaking visit_no: rule unique added"],
        id="key",
    ),
    pytest.param(
        [
            (
                "          - {to: sites.site_code}\n",
                "          - {to: sites.site_code, customProperties: [{property: severity, value: warning}]}\n",
            )
        ],
        ["widening site: relationship to CLINIC_SITES: severity error → warning"],
        id="relationship-eased",
    ),
    pytest.param(
        [("visits_list.csv", "visits.csv")],
        ["breaking : fileName: visits_list.csv → visits.csv"],
        id="file",
    ),
    pytest.param(
        [("value: 24, unit", "value: 20, unit")],
        ["breaking : freshness_error: 24 h → 20 h"],
        id="freshness-tighter",
    ),
    pytest.param(
        [("value: 24, unit", "value: 30, unit")],
        ["note : freshness_error: 24 h → 30 h"],
        id="freshness-looser",
    ),
    pytest.param(
        [("24, unit: h}\n", "24, unit: h}\n  - {id: all, property: freshness, element: visits, value: none}\n")],
        ["note : freshness: the source's → none"],
        id="freshness-of-a-table",
    ),
    pytest.param(
        [("24, unit: h}\n", "24, unit: h}\n  - {property: retention, value: 90, unit: d, element: visits}\n")],
        ["breaking : retention: no limit → 90 days"],
        id="retention",
    ),
    pytest.param(
        [("pii, value: indirect", "pii, value: direct")],
        ["note rating: pii: indirect → direct"],
        id="pii",
    ),
    pytest.param(
        [("mustBeGreaterOrEqualTo: 2, severity: warning", "mustBeGreaterOrEqualTo: 2, severity: error")],
        ["breaking : rule row_count: severity warning → error"],
        id="severity",
    ),
]


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "clinic.odcs.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(replacements: list[tuple[str, str]]) -> str:
    text = CLINIC
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize(("replacements", "expected"), CASES)
def test_each_change_is_reported_with_how_far_it_reaches(
    replacements: list[tuple[str, str]], expected: list[str], tmp_path: Path
) -> None:
    old, new = read_source(write(tmp_path / "a", CLINIC)), read_source(write(tmp_path / "b", changed(replacements)))
    changes = compare.compare(old, new)
    assert [f"{c.level} {c.column}: {c.what}" for c in changes] == expected
    level = expected[0].split()[0]
    asked = {"breaking": "1.0.0", "widening": "0.3.0", "addition": "0.3.0", "note": "0.2.1"}[level]
    assert compare.version_for(old.version, changes) == asked


def test_the_way_back_of_a_removed_column_is_an_addition_and_of_a_required_one_breaks(tmp_path: Path) -> None:
    full = read_source(write(tmp_path / "full", CLINIC))
    optional = read_source(write(tmp_path / "optional", changed([(OPENED, "")])))
    required = read_source(write(tmp_path / "required", changed([(HOSPITAL, "")])))
    assert [c.level for c in compare.compare(optional, full)] == ["addition"]
    assert [(c.level, c.what) for c in compare.compare(required, full)] == [("breaking", "required column added")]


def test_the_same_contract_has_no_changes_and_asks_for_its_own_version(tmp_path: Path) -> None:
    source = read_source(write(tmp_path, CLINIC))
    assert compare.compare(source, source) == ()
    assert compare.version_for("1.4.2", ()) == "1.4.2"


def commit(repository: Path, text: str, message: str) -> str:
    write(repository / "data_dictionary", text)
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", message], check=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def test_without_a_ref_the_commit_that_brought_the_version_is_compared(repository: Path) -> None:
    commit(repository, CLINIC.replace("0.2.0", "0.1.0"), "an older version")
    brought = commit(repository, CLINIC, "0.2.0")
    newest = commit(repository, changed([(OPENED, "")]), "a column goes, under the same version")
    path = repository / "data_dictionary" / "clinic.odcs.yaml"
    assert history.commit_before_version(repository, read_source(path)) == brought
    raised = write(path.parent, changed([(OPENED, ""), ("version: 0.2.0", "version: 1.0.0")]))
    assert history.commit_before_version(repository, read_source(raised)) == newest


def test_a_breaking_change_needs_a_new_major_version(repository: Path) -> None:
    ref = commit(repository, CLINIC, "as it was")
    old = history.read_at(repository, "clinic", ref)
    assert old is not None
    for version, refused in (("0.2.0", True), ("0.9.0", True), ("1.0.0", False)):
        text = changed([(OPENED, ""), ("version: 0.2.0", f"version: {version}")])
        new = read_source(write(repository / "data_dictionary", text))
        assert compare.breaks_within_major(old, new, compare.compare(old, new)) is refused
    assert history.read_at(repository, "nobody", ref) is None
    with pytest.raises(ConfigurationError, match="name a ref that this repository has"):
        history.read_at(repository, "clinic", "no-such-ref")


def test_the_command_fails_for_a_breaking_change_and_says_which_version_to_set(tmp_path: Path) -> None:
    text = (PROJECT / "data_dictionary" / "olist.odcs.yaml").read_text(encoding="utf-8")
    extra = """    properties:
      - {name: was_here, businessName: Was here, description: Gone by now., logicalType: string, required: false,
         classification: internal, customProperties: [{property: pii, value: none}]}
"""
    before = tmp_path / "before.yaml"
    before.write_text(text.replace("    properties:\n", extra, 1), encoding="utf-8")
    version = read_source("olist").version
    major = int(version.split(".")[0])
    done = CliRunner().invoke(main, ["contract", "diff", str(before), "--source", "olist", "--check"])
    assert done.exit_code == 2
    assert f"version {version} → {version}; set `version: {major + 1}.0.0`" in done.output
    listed = CliRunner().invoke(main, ["contract", "diff", str(before), "--source", "olist", "--json"])
    assert listed.exit_code == 0
    (document,) = json.loads(listed.output)
    assert document["asks_for"] == f"{major + 1}.0.0"
    assert {"level": "breaking", "column": "was_here", "what": "column removed"}.items() <= document["changes"][
        0
    ].items()
