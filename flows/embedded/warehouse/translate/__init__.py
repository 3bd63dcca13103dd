"""Translates Snowflake's SQL into the engine's, and the engine's rows into the form that Snowflake's clients read."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fakesnow.transforms.stage import LOCAL_BUCKET_PATH

# fakesnow makes a temporary folder for PUT when it is imported, and leaves it; PUT is refused here.
with contextlib.suppress(OSError):
    Path(LOCAL_BUCKET_PATH).rmdir()
