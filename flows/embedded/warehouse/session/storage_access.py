"""Checks access to S3 with the server's key: storage integration + location ──▶ the key and a check of each file, or a refusal.

The server has one key of the whole object store. A statement gets it only through a storage integration that is enabled and
whose STORAGE_ALLOWED_LOCATIONS cover the location, and none of whose STORAGE_BLOCKED_LOCATIONS does
(https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration#required-parameters).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flows.embedded.warehouse.session.context import StageInfo, Storage, UrlStorage
from flows.embedded.warehouse.storage.s3 import S3Access
from flows.embedded.warehouse.text import errors

if TYPE_CHECKING:
    from flows.embedded.warehouse.session.connection import WarehouseConnection


def storage_of(conn: WarehouseConnection, url: str, of: StageInfo | UrlStorage) -> Storage:
    """Return the access to `url`, which is a stage's or is written in a COPY statement.

    A stage's integration is used through the stage: a role that has USAGE on the stage needs none on the integration. COPY
    from a URL needs USAGE on it (https://docs.snowflake.com/en/sql-reference/sql/copy-into-table#additional-cloud-provider-parameters).

    Raises:
        ProgrammingError: 091003 without an integration or keys, as a private bucket answers; 002003 or 003001 for an integration
            that does not exist or that the role may not use; 003167 for a location that it does not allow.
    """
    server = conn.engine.s3
    if server is None:
        raise errors.no_object_store(url)
    if isinstance(of, UrlStorage) and of.credentials:
        given = of.credentials
        if set(given) != {"AWS_KEY_ID", "AWS_SECRET_KEY"} or not all(given.values()):
            raise errors.unsupported("CREDENTIALS other than AWS_KEY_ID with AWS_SECRET_KEY")
        own = S3Access(server.endpoint, given["AWS_KEY_ID"], given["AWS_SECRET_KEY"], server.region)
        return Storage(own, lambda _: None)
    if isinstance(of, StageInfo) and of.has_credentials:
        raise errors.unsupported(
            "reading a stage by its CREDENTIALS, which are not kept; give it a STORAGE_INTEGRATION"
        )
    if not of.integration:
        raise errors.storage_denied()
    check = locations(conn, of.integration, usage=isinstance(of, UrlStorage))
    check(url)
    return Storage(server, check)


def locations(conn: WarehouseConnection, integration: str, *, usage: bool) -> Callable[[str], None]:
    """Return a check that raises 003167 for a URL outside the integration's locations.

    Raises ProgrammingError 002003 if it does not exist, 003001 when the role lacks USAGE though `usage` asks for it, 001008 when
    it is not enabled.
    """
    item = conn.account.find("INTEGRATION", integration)
    if item is None:
        raise errors.not_found("INTEGRATION", integration)
    if usage:
        conn.require("USAGE", "INTEGRATION", integration)
    if not item.properties.get("ENABLED"):
        raise errors.invalid_value(f"{integration} is not enabled", "STORAGE_INTEGRATION")

    def places(key: str) -> list[str]:
        written = item.properties.get(key) or []
        return [str(place) for place in written] if isinstance(written, list) else [str(written)]

    allowed, blocked = places("STORAGE_ALLOWED_LOCATIONS"), places("STORAGE_BLOCKED_LOCATIONS")

    def check(url: str) -> None:
        # The object store would resolve the dots of a path after this check.
        dotted = any(part in (".", "..") for part in url.split("/"))
        if dotted or not any(_covers(p, url) for p in allowed) or any(_covers(p, url) for p in blocked):
            raise errors.location_not_allowed(url, integration)

    return check


def _covers(place: str, url: str) -> bool:
    """Whether everything that starts with `url` is in `place`, a folder or bucket. A bucket's name alone is its root."""
    folder = place.rstrip("/") + "/"
    return place == "*" or url.startswith(folder) or (url.count("/") == 2 and url + "/" == folder)
