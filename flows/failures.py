"""Translates exceptions of the operating system and of Prefect's API into `CxmError`s: what happened, where, and the fix.

Errors of Snowflake and S3 are classified where they are called, in `flows.clients`.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator

from flows.errors import ConfigurationError, CxmError, InfrastructureError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def meaning(error: BaseException) -> CxmError | None:
    """Translate an exception into the error for the user; None if it is a bug, whose traceback says more."""
    for one in _chain(error):
        if isinstance(one, CxmError):
            return one
        if isinstance(one, OSError) and (known := _of_system(one)):
            return known
        if known := _of_prefect(one):
            return known
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and the chain of its causes."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _of_system(error: OSError) -> CxmError | None:
    where = str(error.filename or "a file")
    if error.errno in _FULL:
        return InfrastructureError(
            f"{where}: no room on its disk ({error.strerror}); nothing that was under way is published, and what was published "
            "before stays. Free some space, or set CXM_HOME to a folder on another disk, and run the command again"
        )
    if error.errno in _REFUSED:
        return ConfigurationError(
            f"{where}: may not be read or written by this user ({error.strerror}); chown or chmod it, or name another folder: "
            "CXM_HOME for the state, CXM_DATA for the files"
        )
    if error.errno in _NO_FOLDER and error.filename:
        return ConfigurationError(
            f"{where}: cannot be used ({error.strerror}); see what is in its way, or name another folder: CXM_HOME for the "
            "state, CXM_DATA for the files"
        )
    return None


def _of_prefect(error: BaseException) -> CxmError | None:
    """Translate an error of Prefect's client: httpx's, or a RuntimeError if a flow cannot begin."""
    httpx = sys.modules.get("httpx")
    unreached = httpx is not None and isinstance(error, httpx.TransportError)
    if not unreached and not str(error).startswith("Failed to reach API at"):
        return _of_answer(error)
    from prefect.settings import PREFECT_API_URL

    said = (str(error) or type(error).__name__).splitlines()[0]
    return InfrastructureError(
        f"Prefect API {PREFECT_API_URL.value() or '(none is set)'}: not reached ({said}); nothing was begun. Start that "
        "server, or set PREFECT_API_URL to one that runs (`cxm up` starts the embedded one)"
    )


def _of_answer(error: BaseException) -> CxmError | None:
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status in (401, 403) and "prefect" in type(error).__module__:
        return ConfigurationError(
            f"Prefect API {response.request.url.host}: refused the login (HTTP {status}); set PREFECT_API_KEY or "  # type: ignore[union-attr]
            "PREFECT_API_AUTH_STRING to what that server takes"
        )
    if isinstance(status, int) and status >= 500 and "prefect" in type(error).__module__:
        return InfrastructureError(
            f"Prefect API {response.request.url.host}: answers HTTP {status}; look at its log and run again"  # type: ignore[union-attr]
        )
    return None
