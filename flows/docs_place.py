"""The place of pages that outlive a run: `s3://bucket/docs/<source>/<batch>/…`, and the addresses that open them."""

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
    site: str  # the address of a web server that shows what is below the prefix; empty: the S3 console

    @classmethod
    def of(cls, settings: Settings) -> DocsPlace | None:
        """The place that the settings name; None where the stack of this machine serves the pages."""
        if not settings.docs_at:
            return None
        bucket, _, prefix = settings.docs_at.removeprefix("s3://").partition("/")
        prefix = prefix.strip("/")
        site = (settings.docs_url or "").rstrip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", settings.aws_region, site)

    def link(self, page: str) -> str:
        """The address of a page, by its path below the prefix. It holds no signature, so it opens as long as the page is kept,
        for those who may read it."""
        if self.site:
            return f"{self.site}/{quote(page)}"
        key = quote(f"{self.prefix}{page}")
        return f"https://{self.region}.console.aws.amazon.com/s3/object/{self.bucket}?region={self.region}&prefix={key}"


def data_docs(source: str, batch_id: str, page: str = "index.html") -> str:
    """The path of a batch's Data Docs below the place."""
    return f"{source}/{batch_id}/data_docs/{page}"
