"""What `--data`, the parameter `data` or CXM_DATA says → the place where the files are, logged in to where that has to be."""

from __future__ import annotations

from pathlib import Path

from flows.errors import ConfigurationError
from flows.places import Place, is_remote, local, resolved
from flows.settings import Settings
from flows.unpack import Limits


def place(settings: Settings, text: str) -> Place:
    """The place of that name; a folder that holds an archive alone stands for the archive.

    Raises:
        ConfigurationError: there are no places of this kind.
    """
    limits = Limits(settings.unpack_ratio, settings.unpack_bytes)
    if is_remote(text):
        raise ConfigurationError(f"{text}: no place of this kind; expected a folder, or a zip or tar archive")
    return resolved(local(Path(text), limits))
