"""Sends OpenLineage events of a run: START, then COMPLETE, FAIL or ABORT (https://openlineage.io/docs/spec/object-model).

    s3://<bucket> raw/<source>/<file stem> ──job <flow>.<source>──▶ snowflake://<account> <database>.RAW.<table>

Off unless CXM_OPENLINEAGE_NAMESPACE names the jobs' namespace. The client library's own configuration says where events go
(OPENLINEAGE_URL, OPENLINEAGE_API_KEY, openlineage.yml …). If the receiver does not answer, a run waits PATIENCE seconds
for each event and warns.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flows import blocks
from flows.landing import object_folder
from flows.ledger import RunInfo
from flows.settings import Settings

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset

    from flows.contract.model import Source, Table

log = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds that a run waits for the receiver
PRODUCER = "urn:medtech-cxm"
Written = Mapping[str, tuple[int, int]]  # table → rows and bytes that the run loaded


@dataclass(frozen=True)
class Parent:
    """The flow run that a run is a part of."""

    run_id: str
    job: str


@contextmanager
def report_run(
    settings: Settings, source: Source, info: RunInfo, flow: str, parent: Parent | None = None
) -> Iterator[Callable[[Written], None]]:
    """Send START before the `with` block; FAIL with the message if the block raises an error, ABORT if it is cancelled. The
    function that it yields sends COMPLETE."""
    if not settings.openlineage_namespace:
        yield lambda written: None
        return
    run = _Run(settings, source, info, f"{flow}.{source.name}", parent)
    run.tell("START")
    try:
        yield lambda written: run.tell("COMPLETE", written)
    except Exception as error:
        run.tell("FAIL", message=str(error))
        raise
    except BaseException:
        run.tell("ABORT")
        raise


@dataclass(frozen=True)
class _Run:
    settings: Settings
    source: Source
    info: RunInfo
    job: str
    parent: Parent | None

    def tell(self, state: str, written: Written | None = None, message: str = "") -> None:
        """Send one event and wait briefly for it. A failure only logs a warning."""
        at = datetime.now(UTC)
        failed: list[str] = []

        def send() -> None:
            try:
                self._emit(state, at, written or {}, message)
            except Exception as error:  # its text may quote the address, and with it a password
                failed.append(type(error).__name__)

        thread = threading.Thread(target=send, name="openlineage", daemon=True)
        thread.start()
        thread.join(PATIENCE)
        if thread.is_alive():
            failed.append(f"no answer in {PATIENCE:g} seconds")
        if failed:
            log.warning("OpenLineage %s of %s was not sent (%s); the run goes on", state, self.job, failed[0])

    def _emit(self, state: str, at: datetime, written: Written, message: str) -> None:
        from openlineage.client import OpenLineageClient
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState, set_producer
        from openlineage.client.facet_v2 import JobFacet, RunFacet, job_type_job

        set_producer(PRODUCER)
        client = OpenLineageClient()
        client.config.facets.source_code_location.disabled = True  # the remote in .git/config may hold a token
        run_facets: dict[str, RunFacet] = self._run_facets(message)
        job_facets: dict[str, JobFacet] = {
            "jobType": job_type_job.JobTypeJobFacet(processingType="BATCH", integration="PREFECT", jobType="FLOW")
        }
        client.emit(
            RunEvent(
                eventType=RunState[state],
                eventTime=at.isoformat(),
                run=Run(runId=self.info.flow_run_id, facets=run_facets),
                job=Job(namespace=self._namespace, name=self.job, facets=job_facets),
                inputs=[self._input(table) for table in self.source.tables],
                outputs=self._outputs(written),
            )
        )

    @property
    def _namespace(self) -> str:
        return self.settings.openlineage_namespace or ""

    def _run_facets(self, message: str) -> dict[str, Any]:
        from openlineage.client.facet_v2 import error_message_run, parent_run, processing_engine_run

        facets: dict[str, Any] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=version("prefect"), name="Prefect", openlineageAdapterVersion=version("openlineage-python")
            )
        }
        if self.parent:
            facets["parent"] = parent_run.ParentRunFacet(
                run=parent_run.Run(runId=self.parent.run_id),
                job=parent_run.Job(namespace=self._namespace, name=self.parent.job),
            )
        if message:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message=message, programmingLanguage="PYTHON"
            )
        return facets

    def _input(self, table: Table) -> InputDataset:
        """Return the input dataset: a table's objects, named by their prefix without the batch, which is the version."""
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset
        from openlineage.client.naming.dataset import S3

        folder = object_folder(self.source, table, self.info.batch_id).rstrip("/").rpartition("/")[0]
        name = S3(self.settings.bucket, folder)
        facets: dict[str, Any] = {
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=self.info.batch_id)
        }
        return InputDataset(namespace=name.get_namespace(), name=name.get_name(), facets=facets)

    def _outputs(self, written: Written) -> list[OutputDataset]:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset, schema_dataset

        # Named as dbt's own integration names them, so that a lineage tool joins these tables to its models.
        namespace = f"snowflake://{blocks.snowflake_credentials(self.settings).account}"
        outputs = []
        for table in self.source.tables:
            fields = [
                schema_dataset.SchemaDatasetFacetFields(name=c.name, type="VARCHAR", description=c.description)
                for c in table.columns
            ]
            statistics: dict[str, Any] = {}
            if table.name in written:
                rows, size = written[table.name]
                statistics["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                    rowCount=rows, size=size
                )
            outputs.append(
                OutputDataset(
                    namespace=namespace,
                    name=f"{self.settings.database}.{self.source.schema}.{table.raw_name}",
                    facets={"schema": schema_dataset.SchemaDatasetFacet(fields=fields)},
                    outputFacets=statistics,
                )
            )
        return outputs
