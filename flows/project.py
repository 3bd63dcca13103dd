"""Finds the project: `CXM_PROJECT`, else a checkout of the repository, else the nearest parent folder made by `cxm init`.

A project has the files that a team changes: contracts, the dbt and expectations projects, deployments. SQL templates are in the
package. CXM_PROJECT is read here, not in `flows.settings`, because contracts are read without settings.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from flows.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent
MARKERS = ("prefect.yaml", "data_dictionary")

# The files for new projects: in a wheel the copy in the package, in a checkout the project itself.
CHECKOUT = None if (PACKAGE / "shipped").is_dir() else PACKAGE.parent
SHIPPED = CHECKOUT or PACKAGE / "shipped"
SQL = SHIPPED / "sql"
PARTS = (
    "prefect.yaml",
    "data_dictionary",
    "dbt",
    "expectations",
    *(f"architecture/deployment/{pool}.json" for pool in ("docker", "ecs", "kubernetes", "process")),
)
_MADE = shutil.ignore_patterns("target", "logs", "dbt_packages", "uncommitted")  # made by runs: not copied
_GITIGNORE = """\
.cxm/
/data/
dbt/cxm_medtech/target/
dbt/cxm_medtech/logs/
dbt/cxm_medtech/dbt_packages/
expectations/gx/uncommitted/
logs/
"""


def is_project(folder: Path) -> bool:
    return all((folder / marker).exists() for marker in MARKERS)


def find(start: Path, named: str | None) -> Path:
    """Find the project's folder; `start` if there is none, so that `cxm init` can make one."""
    if named:
        return Path(named).expanduser().resolve()
    if CHECKOUT:
        return CHECKOUT
    return next((folder for folder in (start, *start.parents) if is_project(folder)), start)


def check(folder: Path) -> None:
    """Check that this is a project.

    Raises:
        ConfigurationError: it is not a project.
    """
    if not is_project(folder):
        raise ConfigurationError(
            f"{folder}: expected a project (a folder with {' and '.join(MARKERS)}), got none here nor above; make one with "
            "`cxm init`, go to one, or name it in CXM_PROJECT"
        )


def make(folder: Path) -> list[Path]:
    """Create a project in `folder` from the shipped files; returns the files written.

    Raises:
        ConfigurationError: a project exists already, or the folder cannot be written to.
    """
    existing = sorted({part.split("/")[0] for part in PARTS if (folder / part.split("/")[0]).exists()})
    if existing:
        raise ConfigurationError(
            f"{folder}: expected a folder without a project, got {', '.join(existing)}; name another folder: `cxm init DIR`"
        )
    try:
        for part in PARTS:
            source, target = SHIPPED / part, folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=_MADE)
            else:
                shutil.copyfile(source, target)
        ignored = folder / ".gitignore"
        if not ignored.exists():
            ignored.write_text(_GITIGNORE, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{folder}: the project could not be written: {error}; name a folder that you may write to"
        ) from error
    return [folder / part for part in (*PARTS, ".gitignore")]


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:  # the shell's folder was deleted
        return Path.home()


PROJECT = find(_here(), os.environ.get("CXM_PROJECT"))
