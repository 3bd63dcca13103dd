"""`cxm init`: creates a project folder from the files in the installed package."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flows.cli.app import json_option, main


@main.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@json_option
def init(directory: Path, as_json: bool) -> None:
    """Create a project in DIRECTORY (default: here): contracts, dbt and expectations projects, deployments.

    Commands find the project from any folder inside it, or from elsewhere by CXM_PROJECT. Existing files are not overwritten.
    """
    from flows.project import make

    folder = directory.expanduser().resolve()
    written = make(folder)
    if as_json:
        click.echo(json.dumps({"project": str(folder), "written": [str(path) for path in written]}))
        return
    go = "" if folder == Path.cwd() else f"cd {directory} && "
    click.echo(f"project in {folder}; next: {go}cxm run")
