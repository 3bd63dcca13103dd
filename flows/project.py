"""Where the project is: `CXM_PROJECT`, else a checkout of the repository, else the nearest folder upward that `cxm init` made.

A project holds what a team changes: contracts, the dbt and expectations projects, deployments. SQL templates belong to the
program. Besides `flows.settings` the only reader of the environment, since contracts are read without settings.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from flows.errors import ConfigurationError

PACKAGE = Path(__file__).resolve().parent
MARKERS = ("prefect.yaml", "data_dictionary")

# What the wheel ships for new projects; in a checkout the project itself is that.
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
_MADE = shutil.ignore_patterns("target", "logs", "dbt_packages", "uncommitted")  # by runs of the checkout's own
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
    """The project's folder; `start` if no project is found, so that `cxm init` can make one."""
    if named:
        return Path(named).expanduser().resolve()
    if CHECKOUT:
        return CHECKOUT
    return next((folder for folder in (start, *start.parents) if is_project(folder)), start)


def check(folder: Path) -> None:
    """Nothing, when this is a project.

    Raises:
        ConfigurationError: it is none.
    """
    if not is_project(folder):
        raise ConfigurationError(
            f"{folder}: expected a project (a folder with {' and '.join(MARKERS)}), got none here nor above; make one with "
            "`cxm init`, go to one, or name it in CXM_PROJECT"
        )


def make(folder: Path) -> list[Path]:
    """A new project in `folder`, from what is shipped; returns what was written.

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
    except FileNotFoundError:  # removed while the shell stood in it
        return Path.home()


PROJECT = find(_here(), os.environ.get("CXM_PROJECT"))
