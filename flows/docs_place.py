"""The docs place, where pages that outlive a run are published (`s3://bucket/docs/<source>/<batch>/…`), and the links to them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from flows.settings import Settings

DBT_DOCS = "dbt_docs/index.html"
HISTORY = "history/index.html"


@dataclass(frozen=True, slots=True)
class DocsPlace:
    """A prefix of a bucket."""

    bucket: str
    prefix: str  # ends in "/", or is empty
    region: str
    site: str  # URL of a web server for the prefix; empty: links go to the S3 console

    @classmethod
    def of(cls, settings: Settings) -> DocsPlace | None:
        """Return the place in the settings; None if this machine's stack serves the pages."""
        if not settings.docs_at:
            return None
        bucket, _, prefix = settings.docs_at.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        site = (settings.docs_url or "").rstrip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", settings.aws_region, site)

    def link(self, page: str) -> str:
        """Return the link to a page, given its path below the prefix. It has no signature, so it does not expire while the page
        exists, and it works for users who may read the page."""
        if self.site:
            return f"{self.site}/{quote(page)}"
        key = quote(f"{self.prefix}{page}")
        return f"https://{self.region}.console.aws.amazon.com/s3/object/{self.bucket}?region={self.region}&prefix={key}"


def data_docs(source: str, batch_id: str, page: str = "index.html") -> str:
    """Return the path, below the prefix, of a page of a batch's Data Docs."""
    return f"{source}/{batch_id}/data_docs/{page}"
