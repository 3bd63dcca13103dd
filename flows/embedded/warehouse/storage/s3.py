"""The one object store that external stages read: its address and key, and a client of it.

S3 identities file ──S3Access──▶ s3_client
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class S3Access:
    """The address and key of the one object store that external stages of the embedded warehouse read.

    `endpoint` is a URL such as http://127.0.0.1:8333; path-style addressing is used.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    @classmethod
    def from_identity_file(cls, endpoint: str, path: Path) -> S3Access:
        """Read the first credentials of a SeaweedFS identities JSON.

        Raises ValueError that names the file when it holds no credentials.
        """
        document = json.loads(path.read_text(encoding="utf-8"))
        for identity in document.get("identities", []):
            for pair in identity.get("credentials", []):
                if pair.get("accessKey") and pair.get("secretKey"):
                    return cls(endpoint.rstrip("/"), pair["accessKey"], pair["secretKey"])
        raise ValueError(
            f"{path}: no identity with an accessKey and a secretKey; expected SeaweedFS's identities JSON "
            '({"identities": [{"credentials": [{"accessKey": …, "secretKey": …}]}]})'
        )


@lru_cache(maxsize=4)
def s3_client(access: S3Access) -> Any:
    """Return a boto3 client of the embedded object store."""
    # Clients are thread-safe and making one takes a tenth of a second.
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3", endpoint_url=access.endpoint, aws_access_key_id=access.access_key, aws_secret_access_key=access.secret_key,
        region_name=access.region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}, connect_timeout=5, read_timeout=60),
    )  # fmt: skip
