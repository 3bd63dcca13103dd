"""Set-up: uv follows pip's configuration, and a .venv of another Python is made again."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.settings import PROJECT

of_pip = runpy.run_path(str(PROJECT / ".ci" / "uv.py"))["of_pip"]
LISTED = """\
:env:.cert='/etc/ours.pem'
global.cert='/etc/theirs.pem'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://packages.example/simple'
global.trusted-host='packages.example'
global.timeout='60'
install.find-links='/opt/wheels /opt/more'
"""


def test_uv_asks_the_index_and_trusts_the_certificates_that_pip_does() -> None:
    assert of_pip(LISTED, {}) == {
        "UV_DEFAULT_INDEX": "https://packages.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/opt/wheels,/opt/more",
        "UV_INSECURE_HOST": "packages.example",
        "SSL_CERT_FILE": "/etc/ours.pem",
    }


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_is_set_for_uv_stays(name: str) -> None:
    assert "UV_DEFAULT_INDEX" not in of_pip(LISTED, {name: "https://mine.example/simple"})


@pytest.mark.parametrize(
    ("python", "anew"),
    [
        ("exit 1", True),  # it went away, or its packages are another version's
        ("echo 3.9", True),
        (f"echo {sys.version_info[0]}.{sys.version_info[1]}", False),
    ],
)
def test_a_venv_of_another_python_is_made_anew(python: str, anew: bool, tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\n{python}\n")
    (tmp_path / ".venv" / "bin" / "python").chmod(0o755)
    (tmp_path / ".venv" / ".ready").touch()
    command = ["make", "-n", f"PYTHON={sys.executable}", ".venv/.ready"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ("rm -rf .venv" in done.stdout) is anew, done.stdout
