"""What every test may ask for: the real sample rows, a small contract table."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.settings import PROJECT

SAMPLE = PROJECT.parent / "shared" / "olist_sample"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder with real Olist rows; tests that need it are skipped where it is absent."""
    if not SAMPLE.is_dir():
        pytest.skip("the folder with real Olist rows is not here (shared/olist_sample)")
    return SAMPLE
