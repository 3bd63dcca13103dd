"""Snowflake's SQL as the engine's, and the engine's rows as Snowflake's clients read them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fakesnow.transforms.stage import LOCAL_BUCKET_PATH

# fakesnow makes a temporary folder for PUT when it is imported, and leaves it; PUT is refused here.
with contextlib.suppress(OSError):
    Path(LOCAL_BUCKET_PATH).rmdir()
