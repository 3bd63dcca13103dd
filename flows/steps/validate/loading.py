"""Great Expectations, imported without scipy's statistics and altair, which are a third of its start.

They serve two rules on distributions, and charts of them. Stand-ins take their places while it is imported; what uses one gets
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
    """Great Expectations."""
    with _lock:  # a thread that came second would find stand-ins, or take them away from the first
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
    """Have it imported by the time it is needed; returns at once."""
    threading.Thread(target=load, daemon=True).start()


def _stand_in(name: str) -> ModuleType:
    module = ModuleType(name)

    def get(attribute: str) -> Any:
        return getattr(importlib.import_module(name), attribute)

    module.__getattr__ = get  # type: ignore[method-assign]
    return module
