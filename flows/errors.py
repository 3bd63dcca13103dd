"""The error classes of the pipeline. A message says what was got, what was expected, and the fix; the class sets the exit code.

Transient errors may be retried, data errors quarantine a batch and are never retried, configuration errors fail at once.
"""

from __future__ import annotations

from flows.escape import visible


class CxmError(Exception):
    """Base class of errors for users; `exit_code` is the exit code of `cxm`.

    A message may quote files, names and servers; characters that are invisible or control a terminal are escaped.
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
    """A source's last delivery is longer ago than its contract allows; what was loaded stays published. Exit code 4."""

    exit_code = 4


class InfrastructureError(CxmError):
    """A server could not be reached or gave up after retries. Exit code 5."""


class BusyError(CxmError):
    """Another run works on the source or took it over; nothing more is written, a retry at once would not help. Exit code 5."""
