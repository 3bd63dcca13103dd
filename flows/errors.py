"""The error classes of the pipeline: each says what it got, what it expected and the fix, and which exit code it means.

Transient errors may be retried, data errors quarantine a batch and are never retried, configuration errors fail at once.
"""

from __future__ import annotations

from flows.escape import visible


class CxmError(Exception):
    """Base of every error that a user is meant to read; `exit_code` is what `cxm` exits with.

    A message quotes files, names and servers; whatever they hold, it reaches terminal, log and UI as text that one can see.
    """

    exit_code = 5

    def __str__(self) -> str:
        return visible(super().__str__())


class ConfigurationError(CxmError):
    """A setting, contract, key or grant is wrong; nothing was done. Exit code 2."""

    exit_code = 2


class DataError(CxmError):
    """A file or its rows break the contract; refused or quarantined, never retried. Exit code 3."""

    exit_code = 3


class StaleError(CxmError):
    """Data loaded, but a source is older than its contract allows. Exit code 4."""

    exit_code = 4


class InfrastructureError(CxmError):
    """A server could not be reached or gave up after retries. Exit code 5."""


class BusyError(CxmError):
    """Another run works on the same source; nothing was done, and trying at once again would not help. Exit code 5."""
