"""The built wheel in its own environment: `cxm init` makes a project, `cxm run` publishes generated files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import project
from flows.errors import ConfigurationError
from flows.project import CHECKOUT, PARTS
from flows.settings import PROJECT

UV = Path(sys.executable).with_name("uv")
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


def build(folder: Path) -> Path:
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", folder, PROJECT], check=True)
    return next(folder.glob("*.whl"))


def test_a_checkout_is_the_project_from_any_folder(tmp_path: Path) -> None:
    assert project.find(tmp_path, None) == CHECKOUT == PROJECT


def test_a_project_is_found_from_a_folder_inside_it_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.make(tmp_path / "ours")
    monkeypatch.setattr(project, "CHECKOUT", None)  # as where the wheel is installed
    inside = tmp_path / "ours" / "dbt" / "cxm_medtech"
    assert project.find(inside, None) == tmp_path / "ours"
    assert project.find(inside, str(tmp_path)) == tmp_path
    assert project.find(tmp_path, None) == tmp_path
    with pytest.raises(ConfigurationError, match="cxm init"):
        project.check(tmp_path)


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "dbt").mkdir()
    (tmp_path / "notes.txt").write_text("ours")
    with pytest.raises(ConfigurationError, match="without a project, got dbt; name another folder"):
        project.make(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dbt", "notes.txt"]
    (tmp_path / "dbt").rmdir()
    (tmp_path / ".gitignore").write_text("*.tmp\n")
    project.make(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "*.tmp\n"


@pytest.mark.soak
def test_the_wheel_installed_elsewhere_runs_the_sample(tmp_path: Path) -> None:
    """The wheel's own dependencies suffice, in the lock's versions and without the development packages."""
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "env"], check=True)
    install = [UV, "pip", "install", "--quiet", "--python", python, "-c", "requirements.lock", build(tmp_path)]
    subprocess.run(install, cwd=PROJECT, check=True)
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}

    def cxm(*arguments: str, cwd: Path, code: int = 0) -> Any:
        done = subprocess.run(
            [python.with_name("cxm"), *arguments], cwd=cwd, env=environment, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "cxm init" in json.loads(cxm("status", "--json", cwd=elsewhere, code=2))["error"]
    cxm("init", "ours", cwd=elsewhere)
    ours = elsewhere / "ours"
    assert all((ours / part).exists() for part in PARTS)
    cxm("contract", "check", cwd=ours)
    summary = json.loads(cxm("run", "--scale", "0.01", "--json", cwd=ours / "dbt"))
    assert summary["exit_code"] == 0
    published = json.loads(cxm("batches", "--json", cwd=ours))
    assert [batch["status"] for batch in published] == ["validated"], published
    assert sorted(path.name for path in elsewhere.iterdir()) == ["ours"]
    assert (ours / ".cxm").is_dir()
