"""One more schema entry in the contract: provisioning creates the table, the pipeline loads, validates and documents it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from flows.settings import Settings
from flows.synthetic.medtech import generate
from flows.synthetic.shipments import read_shipments
from tests.conftest import run_flow

pytestmark = pytest.mark.xdist_group("flow")
DAY = date(2018, 3, 8)

ENTRY = """\
  - name: device_trainings
    physicalName: SYNTHETIC_DEVICE_TRAININGS
    businessName: Device training
    description: One row for each HCP who took part in a training that day.
    customProperties:
      - {property: fileName, value: "device_trainings_{date}.csv"}
      - {property: loadMode, value: append}
    properties: # the columns, in the file's order
      - {name: training_id, businessName: Training id, description: Identifies the row., logicalType: string, primaryKey: true,
         classification: internal, customProperties: [{property: pii, value: none}]}
      - {name: device_id, businessName: Device id, description: What the training was about., logicalType: string,
         required: false, relationships: [{to: "olist.odcs.yaml#/schema/products/properties/product_id"}],
         classification: internal, customProperties: [{property: pii, value: none}]}
      - {name: minutes, businessName: Minutes, description: By the trainer's own watch., logicalType: integer, required: false,
         logicalTypeOptions: {minimum: 5}, classification: internal, customProperties: [{property: pii, value: none}]}
      - {name: is_certified, businessName: Certified, description: Whether the HCP passed., logicalType: boolean, required: true,
         classification: confidential, customProperties: [{property: pii, value: indirect}]}
      - {name: held_on, businessName: Held on, description: The day., logicalType: date, required: true,
         logicalTypeOptions: {format: yyyy-MM-dd}, classification: internal, customProperties: [{property: pii, value: none}]}
"""


@pytest.fixture
def project(other_project: Callable[[Callable[[Path], None]], Path]) -> Path:
    """A copy of the project whose contract `synthetic` has one more table; the flows read the copy."""

    def add_table(copy: Path) -> None:
        contract = copy / "data_dictionary" / "synthetic.odcs.yaml"
        contract.write_text(contract.read_text(encoding="utf-8") + ENTRY, encoding="utf-8")

    return other_project(add_table)


@pytest.mark.soak
def test_a_fifth_table_comes_in_by_its_entry_in_the_contract_alone(
    settings: Settings, olist_published: Path, project: Path, query: Callable[..., Any], tmp_path: Path
) -> None:
    shipments = read_shipments(olist_published)
    data = tmp_path / "data"
    generate(data, shipments, DAY, DAY, scale=0.05)
    with (olist_published / "olist_products_dataset.csv").open() as file:
        device = [line.split(",")[0] for line in file][1]
    header = "training_id,device_id,minutes,is_certified,held_on\n"
    trainings = data / f"device_trainings_{DAY}.csv"
    trainings.write_text(header + f'T-1,{device},45,true,{DAY}\n"T-2, ""B""",{device},,false,{DAY}\n')

    changes = {c.name: c.action for c in run_flow("provision")}
    assert changes[f"{settings.database}.RAW.SYNTHETIC_DEVICE_TRAININGS"] == "created"
    assert changes[f"{settings.database}.RAW.SYNTHETIC_REP_VISITS"] == "unchanged"

    run = run_flow("pipeline", source="synthetic", data=str(data), day=DAY)
    fifth = {t.table: t for t in run.tables}["device_trainings"]
    assert (fifth.rows_file, fifth.rows_raw, fifth.load, fifth.validation) == (2, 2, "loaded", "passed")
    assert fifth.freshness == "pass"
    rows = query(
        "SELECT TRAINING_ID, MINUTES, IS_CERTIFIED, HELD_ON FROM RAW.SYNTHETIC_DEVICE_TRAININGS "
        f"WHERE _BATCH_ID = '{run.batch_id}' ORDER BY _SOURCE_ROW_NUMBER"
    )
    assert rows == [("T-1", "45", "true", "2018-03-08"), ('T-2, "B"', None, "false", "2018-03-08")]
    assert "### SYNTHETIC_DEVICE_TRAININGS" in (project / "data_dictionary" / "README.md").read_text(encoding="utf-8")
    pages = {p.name for p in (settings.home / "docs").rglob("synthetic_device_trainings*.html")}
    assert "synthetic_device_trainings.html" in pages

    trainings.write_text(header + f"T-1,{'0' * 32},3,yes,2018-02-30\nT-1,{device},,true,{DAY}\n")
    from flows.run import PipelineError

    with pytest.raises(PipelineError) as caught:
        run_flow("pipeline", source="synthetic", data=str(data), day=DAY)
    for rule in (
        "unique(TRAINING_ID)",
        "relationship(DEVICE_ID)",
        "between(MINUTES)",
        "boolean(IS_CERTIFIED)",
        "date(HELD_ON)",
    ):
        assert f"device_trainings.{rule}" in str(caught.value)
