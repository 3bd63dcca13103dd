"""A build reports what dbt's log and results say of its nodes; what is built after a batch."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.contract.read import read_source
from flows.contract.render_dbt import staging_models
from flows.marts import build_report, summarize
from flows.steps import build as step
from flows.steps.build import BuildResult, Node, NodeEvent

MODEL = "model.cxm_medtech.dim_accounts"
TEST = "test.cxm_medtech.unique_dim_accounts_account_id.0123456789"


def line(name: str, node: str, message: str, **data: Any) -> str:
    """Return a line of dbt's log in JSON, as dbt 1.12 writes it; `node_status` is the node's."""
    status = data.pop("node_status", None)
    info = {"name": name, "level": "info", "msg": message}
    return json.dumps({"info": info, "data": {**data, "node_info": {"unique_id": node, "node_status": status}}}) + "\n"


def heard(*lines: str) -> list[NodeEvent]:
    result: list[NodeEvent] = []
    for one in lines:
        step._report_event(one, result.append)
    return result


@pytest.mark.parametrize(
    ("event", "node", "data", "outcome"),
    [
        ("LogModelResult", MODEL, {"status": "SUCCESS 1", "node_status": "success"}, "pass"),
        ("LogModelResult", MODEL, {"status": "ERROR", "node_status": "error"}, "error"),
        ("LogSeedResult", "seed.cxm_medtech.states", {"status": "INSERT 27", "node_status": "success"}, "pass"),
        ("LogTestResult", TEST, {"status": "warn", "node_status": "warn"}, "warn"),
        ("LogTestResult", TEST, {"status": "fail", "node_status": "fail"}, "fail"),
        ("LogTestResult", "unit_test.cxm_medtech.stg.case", {"status": "pass"}, "pass"),
        ("SkippingDetails", MODEL, {"node_status": "skipped"}, "skip"),
        ("LogStartLine", MODEL, {"node_status": "started"}, None),
    ],
)
def test_an_event_of_a_node_says_whether_and_how_it_ended(
    event: str, node: str, data: dict[str, Any], outcome: str | None
) -> None:
    (summarize,) = heard(line(event, node, "1 of 2 \x1b[32mPASS\x1b[0m", **data))
    assert (summarize.id, summarize.outcome, summarize.message) == (node, outcome, "1 of 2 PASS")


def test_sql_and_the_summary_are_no_message_of_a_node_and_other_output_is_passed_over() -> None:
    assert (
        heard(
            line("SQLQuery", MODEL, "select 1"),
            line("RunResultError", MODEL, "Database Error"),
            "Traceback (most recent call last):\n",
            "[1, 2]\n",
            json.dumps({"info": {"name": "MainReportVersion", "msg": "Running"}, "data": {}}),
        )
        == []
    )


def node(id: str, outcome: Any, seconds: float = 1.0, message: str = "said") -> Node:
    return Node(id, id.split(".")[0], id.split(".")[2], outcome, message, seconds, "CXM_MEDTECH.MARTS.DIM_ACCOUNTS")


def test_a_build_is_told_in_one_line_and_a_retry_replaces_what_it_ran_again() -> None:
    first = BuildResult((node(MODEL, "error"), node(TEST, "skip"), node("seed.cxm_medtech.states", "pass")), 10)
    assert summarize(first) == "1 built, 0 tests held, 1 failed, 1 skipped, in 10 s"
    whole = first.with_retried(BuildResult((node(MODEL, "pass"), node(TEST, "pass")), 5))
    assert whole.clean
    assert summarize(whole) == "2 built, 1 tests held, in 15 s"


def test_the_page_of_a_build_names_what_was_built_with_its_rows_and_what_was_not() -> None:
    result = BuildResult((node(MODEL, "pass", 2.5), node(TEST, "fail", message="Got 3 | results")), 10)
    page = build_report(result, "source:olist+", {"MARTS.DIM_ACCOUNTS": 1610})
    assert "| `MARTS.DIM_ACCOUNTS` | model | pass | 1,610 | 2.5 |" in page
    assert "## Failed" in page
    assert "Got 3 \\| results" in page


def test_a_batch_builds_what_reads_its_source_and_everything_where_the_rest_was_never_built() -> None:
    olist, other = read_source("olist"), read_source("synthetic")
    there = {"SEEDS.STATE_REGIONS", *(f"STG.{name.upper()}" for name in staging_models(other).values())}
    assert step.selector(olist, [other], ["state_regions"], there) == "source:olist+"
    assert step.selector(olist, [other], ["state_regions"], there - {"SEEDS.STATE_REGIONS"}) is None
    assert step.selector(olist, [other], [], set()) is None
