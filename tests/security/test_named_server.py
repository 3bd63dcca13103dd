"""Which Prefect server a command writes to: the one that the environment or the user's Prefect profile names."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.context import refresh_global_settings_context

from flows.cli import main
from flows.errors import ConfigurationError
from flows.settings import PROJECT, Settings
from tests.conftest import free_port, prefect_login


def test_blocks_go_to_the_named_server_and_the_line_says_which(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another home starts an object store and a warehouse, and no second Prefect server."""
    api, login = settings.stack["prefect"]["api_url"], prefect_login(settings)
    for name in ("S3", "WAREHOUSE", "PREFECT"):
        monkeypatch.setenv(f"CXM_{name}_PORT", str(free_port()))
    monkeypatch.setenv("CXM_HOME", str(tmp_path / "another"))
    bare = {"name": "cxm-process", "type": "process", "base_job_template": {}}
    before = httpx.get(f"{api}/work_pools/cxm-process", auth=login)
    if before.status_code == 200:
        httpx.patch(f"{api}/work_pools/cxm-process", json={"base_job_template": {}}, auth=login).raise_for_status()
    else:
        httpx.post(f"{api}/work_pools/", json=bare, auth=login).raise_for_status()
    done = CliRunner().invoke(main, ["blocks", "register", "--pool", "process"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"Registered with {api}" in done.output
    assert not (tmp_path / "another" / "prefect").exists()
    template = json.loads((PROJECT / "architecture" / "deployment" / "process.json").read_text())
    pool = httpx.get(f"{api}/work_pools/cxm-process", auth=login).json()
    assert pool["base_job_template"] == template, "a worker that was started first had made it bare"
    changed = {**template, "job_configuration": {**template["job_configuration"], "name": "ours"}}
    httpx.patch(f"{api}/work_pools/cxm-process", json={"base_job_template": changed}, auth=login).raise_for_status()
    profiles = tmp_path / "profiles.toml"
    ours = f'PREFECT_API_URL = "{api}"\nPREFECT_API_AUTH_STRING = "{":".join(login)}"'
    profiles.write_text(f'active = "ours"\n\n[profiles.ours]\n{ours}\n')
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(profiles))
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING"):
        monkeypatch.delenv(name)
    refresh_global_settings_context()
    done = CliRunner().invoke(main, ["blocks", "register"])
    assert done.exit_code == 0, (done.output, done.exception)
    assert f"Registered with {api}" in done.output, "the profile's server"
    CustomWebhookNotificationBlock(name="named", url="http://127.0.0.1:9").save("cxm-named", overwrite=True)
    done = CliRunner().invoke(main, ["automations", "apply", "--notify", "slack-webhook/none"])
    assert isinstance(done.exception, ConfigurationError | SystemExit)
    assert "custom-webhook/cxm-named" in done.output + str(done.exception), "which only that server knows"
    pool = httpx.get(f"{api}/work_pools/cxm-process", auth=login).json()
    assert pool["base_job_template"] == changed, "an operator's own template stays"
    httpx.patch(f"{api}/work_pools/cxm-process", json={"base_job_template": template}, auth=login).raise_for_status()
    monkeypatch.undo()
    refresh_global_settings_context()
    assert CliRunner().invoke(main, ["blocks", "register"]).exit_code == 0  # the blocks mean the tests' stack again
