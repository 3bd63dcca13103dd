"""The batch id: the expected start of the run that loads the batch, in UTC, as `YYYYMMDD_HHMMSS`. It is a name; the order of
batches is BATCH_SEQUENCE."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from flows.errors import ConfigurationError


def make_batch_id(start: datetime) -> str:
    """Format a run's start as a batch id, in UTC because local time repeats an hour each autumn."""
    return start.astimezone(UTC).strftime("%Y%m%d_%H%M%S")


def check_batch_id(text: str) -> str:
    """Return `text` if it is a batch id. It may then be used unquoted in S3 keys and in a stage's path.

    Raises:
        ConfigurationError: it is not a batch id.
    """
    if not re.fullmatch(r"[0-9]{8}_[0-9]{6}", text):
        raise ConfigurationError(f"batch id: got {text!r}, expected YYYYMMDD_HHMMSS; `cxm batches` lists them")
    return text
