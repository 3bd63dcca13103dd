"""Imports Great Expectations without scipy's statistics and altair, which take a third of its import time.

They are for two rules on distributions and their charts. Placeholders replace them during the import; code that uses one gets
the real package then.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType
from typing import Any

_SELDOM = ("scipy.stats", "altair")
_lock = threading.Lock()


def load() -> ModuleType:
    """Import Great Expectations and return it."""
    with _lock:  # a second thread would find placeholders, or remove those of the first
        if "great_expectations" in sys.modules:
            return sys.modules["great_expectations"]
        stand_ins = {name: _stand_in(name) for name in _SELDOM if name not in sys.modules}
        sys.modules.update(stand_ins)
        try:
            return importlib.import_module("great_expectations")
        finally:
            for name in stand_ins:
                del sys.modules[name]


def load_beside() -> None:
    """Start importing it in a thread; returns at once."""
    threading.Thread(target=load, daemon=True).start()


def _stand_in(name: str) -> ModuleType:
    module = ModuleType(name)

    def get(attribute: str) -> Any:
        return getattr(importlib.import_module(name), attribute)

    module.__getattr__ = get  # type: ignore[method-assign]
    return module
