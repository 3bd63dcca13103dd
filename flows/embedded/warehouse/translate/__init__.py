"""Translates Snowflake's SQL into the engine's, and the engine's rows into the form that Snowflake's clients read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fakesnow.transforms.stage import LOCAL_BUCKET_PATH

# Importing fakesnow creates a temporary folder for PUT, which is refused here, and leaves it behind.
with contextlib.suppress(OSError):
    Path(LOCAL_BUCKET_PATH).rmdir()
