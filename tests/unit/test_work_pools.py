"""The base job templates fit what their collections' workers accept, and give a run its settings."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.utilities.dispatch import get_registry_for_type
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseWorker

from flows.deployment import VARIABLES
from flows.settings import PROJECT, Settings

FOLDER = PROJECT / "architecture" / "deployment"
WORKERS = {
    "process": "prefect.workers.process:ProcessWorker",
    "docker": "prefect_docker.worker:DockerWorker",
    "ecs": "prefect_aws.workers.ecs_worker:ECSWorker",
    "kubernetes": "prefect_kubernetes.worker:KubernetesWorker",
}
pools = pytest.mark.parametrize("pool", sorted(WORKERS))


def worker(pool: str) -> type[BaseWorker[Any, Any, Any]]:
    import importlib

    module, _, name = WORKERS[pool].partition(":")
    result = getattr(importlib.import_module(module), name)
    assert pool in (get_registry_for_type(BaseWorker) or {})
    return result  # type: ignore[no-any-return]


def template(pool: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{pool}.json").read_text())  # type: ignore[no-any-return]


@pools
def test_a_template_is_the_collections_own_with_other_defaults(pool: str) -> None:
    ours, theirs = template(pool), worker(pool).get_default_base_job_template()
    for properties in (ours["variables"]["properties"], theirs["variables"]["properties"]):
        for described in properties.values():
            described.pop("default", None)
    if pool == "docker":  # its default image is computed from the installed versions
        assert ours["job_configuration"].keys() == theirs["job_configuration"].keys()
    assert ours == theirs


@pools
def test_the_defaults_are_values_that_the_collections_schema_allows(pool: str) -> None:
    theirs = worker(pool).get_default_base_job_template()["variables"]
    defaults = {n: p["default"] for n, p in template(pool)["variables"]["properties"].items() if "default" in p}
    jsonschema.validate(defaults, {**theirs, "additionalProperties": False})
    assert defaults["env"]["CXM_TARGET"] == "{{ prefect.variables.cxm_target }}"


@pools
def test_a_value_that_does_not_fit_is_reported(pool: str) -> None:
    theirs = worker(pool).get_default_base_job_template()["variables"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"env": "none"}, theirs)


@pools
def test_every_variable_that_a_template_reads_is_one_that_is_registered(pool: str) -> None:
    env = template(pool)["variables"]["properties"]["env"]["default"]
    read = {
        name.name.removeprefix("prefect.variables.cxm_") for value in env.values() for name in find_placeholders(value)
    }
    assert read == set(VARIABLES)
    assert {f"CXM_{name.upper()}" for name in VARIABLES} <= set(env)
    assert set(VARIABLES) <= set(Settings.model_fields)


def test_the_image_holds_what_a_run_reads_and_nothing_that_is_private() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", text, re.M) for name in line.split()}
    assert {"flows", "sql", "data_dictionary", "expectations", "dbt", "requirements.lock"} <= copied
    tracked = subprocess.run(["git", "ls-files", *copied], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert {Path(name).parts[0] for name in tracked.stdout.splitlines()} == {Path(name).parts[0] for name in copied}
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert allowed == (copied - {"architecture/deployment"}) | {"architecture/deployment/*.json"}
    assert "uv pip sync" not in text  # the whole lock would bring what tests need
    assert not {"data", ".cxm", "."} & copied
    assert "USER cxm" in text
    assert os.fspath(PROJECT) not in text
