"""Reads a contract as it was at a git ref: `data_dictionary/` of a commit → `Source`."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from flows.contract.model import Source
from flows.contract.read import DICTIONARY, SUFFIX, read_source
from flows.errors import ConfigurationError


def read_at(project: Path, name: str, ref: str) -> Source | None:
    """Read the contract of source `name` at a git ref of the project's repository; None if that commit has no such contract.

    Raises:
        ConfigurationError: git is missing, the project is not a repository, the ref is unknown, or this version of the code
            cannot read the contract of that time.
    """
    if ref.startswith("-"):
        raise ConfigurationError(f"git ref: got {ref!r}, expected a branch, a tag or a commit")
    archive = _git(project, "archive", "--format=tar", ref, "--", DICTIONARY)
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        path = Path(folder) / DICTIONARY / f"{name}{SUFFIX}"
        if not path.is_file():
            return None
        try:
            return read_source(path)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{DICTIONARY}/{path.name} at {ref}: cannot be read by this version ({error}); name a later ref, or a file"
            ) from None


def read_file(path: Path) -> Source:
    """Read the contract in a file of any name. Contracts that its relationships point into must be in the same folder."""
    if path.name.endswith(SUFFIX):
        return read_source(path)
    with tempfile.TemporaryDirectory() as folder:
        text = path.read_text(encoding="utf-8")
        match = re.search(r"^name:\s*([a-z][a-z0-9_]*)\s*$", text, re.MULTILINE)
        if not match:
            raise ConfigurationError(f"{path}: got no line `name: <source>`, expected a contract")
        copy = Path(folder) / f"{match[1]}{SUFFIX}"
        for other in path.parent.glob(f"*{SUFFIX}"):
            (Path(folder) / other.name).write_bytes(other.read_bytes())
        copy.write_text(text, encoding="utf-8")
        return read_source(copy)


def commit_before_version(project: Path, source: Source) -> str | None:
    """Find the commit that the contract is compared with by default; None if it has no history.

    If the last commit has the same version, it is the commit that introduced this version. If the version was raised since, it is
    the last commit, which still has the old version.

    Raises:
        ConfigurationError: git is missing, or the project is not a repository.
    """
    path = f"{DICTIONARY}/{source.name}{SUFFIX}"
    commits = _git(project, "log", "--format=%H", "--", path).decode().split()
    base = None
    for commit in commits:
        text = _git(project, "show", f"{commit}:./{path}").decode(errors="replace")
        version = re.search(r"^version:\s*[\"']?([^\"'\s#]+)", text, re.MULTILINE)
        if version is None or version[1] != source.version:
            return base or commit
        base = commit
    return base


def _git(project: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise ConfigurationError("git: not found on the PATH; install it, or compare with a file") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigurationError(
            f"git {arguments[0]}: {reason[-1] if reason else 'failed'}; name a ref that this repository has, or a file"
        )
    return done.stdout
