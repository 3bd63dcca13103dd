"""Distinguishes generated files from the user's own by a folder's `.generated.json`, and finds the place of a source's files.

Generated rows are loaded only on the embedded target, are marked in the ledger, and never replace real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flows.places import Place, below, is_remote, local

if TYPE_CHECKING:  # `cxm --help` imports this module, and not pydantic
    from flows.settings import Settings

MARKER = ".generated.json"
FIRST_RUN_SCALE = 0.05  # 78 thousand rows, 6 MB: seconds on a laptop; `--scale 1` is the full set's 1.55 million


def is_generated(place: Place, files: Iterable[str]) -> bool:
    """Return whether most of these files were generated, by the names and sizes in the marker.

    Most, not all: a set in which one file was edited still counts as generated, and a file that is the same in every set (the
    category names) does not make the user's own files next to an old marker count as generated.
    """
    made = _made(place)
    if not made:
        return False
    existing = [(name, size) for name in files if (size := place.size_of(name))]
    as_made = sum(made.get(name) == size for name, size in existing)
    return as_made > 0 and 2 * as_made >= len(existing)


def _made(place: Place) -> dict[str, int]:
    """Read file name → bytes from a place's marker; empty if it cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        marker = json.loads(place.read_small(MARKER) or b"")
        if "files" in marker:  # Olist-shaped files
            return {name: int(facts["bytes"]) for name, facts in marker["files"].items()}
        return {name: int(size) for sizes in marker.values() if isinstance(sizes, dict) for name, size in sizes.items()}
    return {}


def source_place(settings: Settings, source: str) -> str:
    """Return the default place of a source's files: `data/<source>`; if that folder is empty and the target may load generated
    files, those that `cxm run` and `cxm up` generated."""
    own = below(settings.data, source)
    if settings.may_generate and not is_remote(own) and not local(Path(own)).entries():
        made = generated_folder(settings) / source
        return str(made) if made.is_dir() else own
    return own


def generated_folder(settings: Settings, scale: float = FIRST_RUN_SCALE) -> Path:
    """Return the home's folder of generated files, which contains `olist/`."""
    return settings.home / "generated" / f"{scale:g}"
