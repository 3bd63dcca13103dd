"""The Snowflake connector, imported without pandas, numpy and pyarrow, which saves every command most of a second of CPU time.

The connector imports them if they are installed, for methods such as `fetch_pandas_all`, which nothing here calls. Without them
those methods raise MissingDependencyError and everything else works. None in `sys.modules` is Python's documented way to make an
import fail (https://docs.python.org/3/reference/import.html#the-module-cache). Import this module at the top of a module and
before anything else that imports the connector, so that no other thread is importing pandas meanwhile.
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
    """Open a connection; `options` as `snowflake.connector.connect` takes them."""
    return _connector.connect(**options)
