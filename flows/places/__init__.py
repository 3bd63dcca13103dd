"""Where a source's files are: a folder, a zip or tar archive, `s3://bucket/prefix`, `sftp://host/path` → names and streams.

This module makes places on this machine; `flows.blocks.place` makes those that need a login.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from flows.places.archive import Archive, is_archive, resolved
from flows.places.base import DONE, File, Opened, Place, PlaceEntry, Raw
from flows.places.local import Folder
from flows.unpack import DEFAULT, Limits

__all__ = [
    "DONE",
    "Archive",
    "File",
    "Folder",
    "Opened",
    "Place",
    "PlaceEntry",
    "Raw",
    "below",
    "is_archive",
    "is_remote",
    "local",
    "resolved",
]


def is_remote(text: str) -> bool:
    """Whether a place is a URL rather than a path."""
    return re.match("[a-zA-Z][a-zA-Z0-9+.-]+://", text) is not None


def below(text: str, name: str) -> str:
    """The place `name` inside the place `text`, both as a user writes them."""
    return f"{text.rstrip('/')}/{name}" if is_remote(text) else str(Path(text) / name)


def local(path: Path, limits: Limits = DEFAULT) -> Place:
    """The place at a path of this machine: an archive if it is a file, else a folder, which need not exist."""
    with suppress(OSError):  # a folder without permission is reported when a file in it is opened
        if path.is_file():
            return Archive(Folder(path.parent, limits), path.name)
    return Folder(path, limits)
