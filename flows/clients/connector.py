"""The Snowflake connector, imported without pandas, numpy and pyarrow: most of a second of processor time of every command.

It imports them wherever they are installed, for `fetch_pandas_all` and its kin, which nothing here calls; without them those
raise MissingDependencyError and everything else is the same. None in `sys.modules` is Python's own way to say that a module is
not to be had (https://docs.python.org/3/reference/import.html#the-module-cache). Import this module at the top of a module and
before anything that brings the connector in, so that no thread is importing pandas for itself meanwhile.
"""

from __future__ import annotations

import sys
from typing import Any

_hidden = [name for name in ("pandas", "numpy", "pyarrow") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_hidden))  # type: ignore[arg-type]  # None is what hides them
try:
    import snowflake.connector as _connector
    from snowflake.connector.util_text import split_statements as split_statements
finally:
    for _name in _hidden:
        del sys.modules[_name]


def connect(**options: Any) -> Any:
    """A connection of the connector's."""
    return _connector.connect(**options)
