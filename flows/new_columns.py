"""Shows a patch that adds new columns of files (onNewColumn: add) to the contract, as an artifact of the run."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import get_run_logger

from flows import prefect_ui
from flows.contract.model import Source
from flows.errors import CxmError
from flows.escape import code_block, markdown
from flows.landing import LandedTable
from flows.settings import PROJECT


def show_patch(source: Source, landed: Mapping[str, LandedTable]) -> None:
    """Show the contract's patch if a loaded table has new columns; a failure only logs a warning."""
    new = {name: [layout for layout in table.layouts if layout.added] for name, table in landed.items()}
    layouts = {name: max(each, key=lambda layout: len(layout.added)) for name, each in new.items() if each}
    if not layouts:
        return
    from flows.contract.patch import patch  # imported here: few runs need them, and they import DuckDB
    from flows.steps.draft import unread

    try:
        columns = {name: [unread(header) for header in layout.added] for name, layout in layouts.items()}
        diff = patch(PROJECT, source, layouts, columns)
    except CxmError as error:  # the rows are loaded; the patch is optional
        get_run_logger().warning("%s: the contract's patch cannot be shown: %s", source.name, error)
        return
    names = ", ".join(f"{name}.{header}" for name, layout in layouts.items() for header in layout.added)
    text = f"""New columns came, and RAW has them: {markdown(names)}. Staging and rules do not know them yet.

Save this as `new_columns.patch`, then `git apply new_columns.patch`, correct what is a guess, `cxm contract sync`, and commit. \\
Rows that are loaded already show the columns in staging from then on.

{code_block(diff, "diff")}
"""
    prefect_ui.markdown_artifact(f"{source.name}-contract-patch", text, "What to add to the contract")
