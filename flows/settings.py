"""The settings, read from `CXM_*` environment variables. Only what runs before settings can be imported
reads its variable itself: `flows.project` CXM_PROJECT, `flows.embedded.preloaded` CXM_HOME.

Names (bucket, database, roles …) have defaults and can be changed; account, user and key have no default. On the embedded
target the endpoints come from the running stack (`CXM_HOME/run/stack.json`), which `flows.embedded` writes.
"""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NewType

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from flows.errors import ConfigurationError
from flows.places import is_remote
from flows.project import PROJECT as PROJECT  # most of flows/ and the tests import it from here

Location = NewType("Location", str)  # of files: a path, or a URL such as s3://bucket/prefix
CodecName = Literal["zstd", "gzip", "none"]
After = Literal["left", "done", "delete"]

# Turns off the telemetry of every tool before it is imported: the rows describe healthcare professionals.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "FAKESNOW_DISABLE_TELEMETRY": "1",
}


# Variables read by others: dbt's profile, Great Expectations' project, the tests. Every other CXM_* variable must be a setting.
NOT_SETTINGS = frozenset(
    {
        "CXM_DBT_THREADS",
        "CXM_PROJECT",
        "CXM_QUERY_TAG",
        "CXM_WAREHOUSE_HOST",
        "CXM_WAREHOUSE_PASSWORD",
        "CXM_WAREHOUSE_LOADER_PASSWORD",
        "CXM_VALIDATE_SECRET",
        "CXM_LIVE",
        "CXM_SCREENSHOTS",
        "CXM_UPDATE_GOLDEN",
    }
)


class Settings(BaseSettings):
    """Where the pipeline reads, lands and loads. Frozen. An unknown CXM_* variable is refused.

    Raises pydantic's `ValidationError` (a `ValueError`), which names the variable, for an invalid value.
    """

    model_config = SettingsConfigDict(
        env_prefix="CXM_",
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        validate_default=True,
    )

    env: str = Field("prod", pattern=r"^[a-z][a-z0-9]{0,11}$")
    """The environment. Names of bucket, database, warehouse, roles, users and policies get it as a suffix, except for `prod`."""
    target: Literal["embedded", "snowflake"] = "embedded"
    """`embedded`: the stack on this machine. `snowflake`: AWS and Snowflake."""
    project: Path = PROJECT
    """The folder of contracts, dbt and expectations: a checkout, or the nearest parent folder that `cxm init` made."""
    home: Path = PROJECT / ".cxm"
    """The folder for state, logs, secrets and the embedded stack's data. Several homes can be used at the same time."""
    data: Location = Location(str(PROJECT / "data"))
    """The place with one folder for each source: a folder, `s3://bucket/prefix` or `sftp://user@host/path`."""
    source_places: Annotated[tuple[str, ...], NoDecode] = ()
    """More places that runs read files from besides `CXM_DATA`, separated by spaces. `cxm provision` grants reading those on S3,
    and `cxm doctor` checks each."""
    inbox_after: After = "left"
    """What `inbox` does with published files: `left` leaves them, `done` moves them to `done/<batch>/` in their place, `delete`
    deletes them. On S3, `cxm provision` grants just that."""
    inbox_events: bool = False
    """Whether S3 notifies `inbox` of new files in `CXM_DATA`, through an SQS queue for each source that `cxm provision` makes.
    With `true` the place is listed after each event and once an hour, with `false` at every poll."""
    sftp_user: str | None = None
    """The user for SFTP addresses that name none."""
    sftp_secret: SecretStr | None = None
    """The login for SFTP servers: a private key (PEM or OpenSSH format), or a password."""
    sftp_passphrase: SecretStr | None = None
    """The passphrase of an encrypted key."""
    sftp_block: str | None = None
    """The Prefect block (`secret/…`) that holds the key or password, instead of `CXM_SFTP_SECRET`."""
    sftp_known_hosts: str | None = None
    """The host keys of SFTP servers: lines of a known_hosts file, or the path of one. A server with another key is refused."""

    unpack_ratio: int = Field(200, ge=1)
    """The most that a packed file or an archive may unpack to, as a multiple of its size; checked above 64 MiB."""
    unpack_bytes: int = Field(100_000_000_000, ge=1)
    """The most that one packed file may unpack to, in bytes."""

    bucket: str = Field("cxm-medtech-landing-ssen27", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """The landing bucket."""
    docs_place: str | None = Field(None, pattern=r"^s3://[a-z0-9.-]{3,63}(/[A-Za-z0-9!_./-]*)?$")
    """Where pages that outlive a run are published (Data Docs, dbt docs, history), `s3://bucket/prefix`. None: `docs/` of the
    landing bucket; on the embedded target the folder `docs` of `CXM_HOME`, which the stack serves."""
    docs_url: str | None = Field(None, pattern=r"^https?://[^\s?#]+$")
    """The URL of your own web server in front of the docs place, such as CloudFront's, for links. Without it, links lead to the
    page's object in the S3 console."""
    docs_days: int = Field(90, ge=1)
    """How long pages are kept in the landing bucket."""
    aws_region: str = "us-east-1"
    """The bucket's region; the Snowflake account should be in the same one."""
    aws_block: str | None = None
    """The Prefect block (`aws-credentials/…`) that runs log in to AWS with. None: the AWS SDK's default chain."""
    codec: CodecName = "zstd"
    """How landed objects are compressed; COPY recognizes it by the key's ending."""

    database: str = Field("CXM_MEDTECH", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The database that holds all schemas."""
    warehouse: str = Field("WH_CXM", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The virtual warehouse that loads and builds."""
    storage_integration: str = Field("CXM_S3_INTEGRATION", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The storage integration through which Snowflake reads the bucket."""
    storage_role_arn: str | None = None
    """The AWS role that the storage integration assumes. None: `cxm provision --apply` makes it."""
    ingestion_principal: str | None = None
    """The AWS principal that may assume the ingestion role. None: a user with an access key is made."""
    credit_quota: int = Field(20, ge=1)
    """The Snowflake credits per month after which the warehouse is suspended."""
    query_costs: bool | None = None
    """Whether the loader may read query costs (SNOWFLAKE.USAGE_VIEWER: usage of the whole account), for `cxm cost` and the
    history page. None: only on the embedded target, whose queries have seconds and no credits."""
    pii_tags: bool = True
    """Whether columns about people get object tags, which need Enterprise Edition. Without them, only comments mark them."""
    masking: bool = False
    """Whether those columns are masked for every role but `CXM_PRIVACY_ROLE`, the loader and dbt, by policies on the tag. Needs
    Enterprise Edition; Standard has no masking."""
    privacy_role: str = Field("CXM_PRIVACY", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The role that sees personal data unmasked if `CXM_MASKING` is on."""
    forget_key: SecretStr | None = None
    """The key of the hashes by which `cxm forget` records the persons it deleted. Make one with `openssl rand -hex 32`
    and keep it forever. None: the home's own key on the embedded target; on a real account `--apply` is refused then."""
    snowflake_account: str | None = None
    """The account, `<organization>-<name>`."""
    snowflake_user: str | None = None
    """The user that logs in."""
    snowflake_private_key: SecretStr | None = None
    """That user's private key, as PEM."""
    snowflake_private_key_passphrase: SecretStr | None = None
    """The passphrase of an encrypted private key."""
    snowflake_block: str | None = None
    """The Prefect block (`snowflake-connector/…`) that runs log in with, instead of user and key."""
    loader_role: str = Field("CXM_LOADER", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The role that loads RAW and writes the ledger."""
    transformer_role: str = Field("CXM_TRANSFORMER", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """dbt's role, which reads RAW and builds STG, INT, MARTS and SNAPSHOTS."""
    reporter_role: str = Field("CXM_REPORTER", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """Power BI's role, which reads MARTS."""
    plan_role: str = Field("ACCOUNTADMIN", pattern=r"^[A-Z_][A-Z0-9_$]*$")
    """The role with which `cxm provision --plan` reads the account."""

    lease_minutes: float = Field(5, gt=0)
    """How long a run may fail to renew its lease before another run may take over its source."""
    restarts_per_hour: int = Field(0, ge=0, le=12)
    """How often per hour an automation restarts a crashed, deployed run of `pipeline`. 0: never; the next scheduled run loads."""
    archive_after_days: int = Field(90, ge=0)
    """Days after which the objects of a batch that was published, quarantined or undone move from `raw/` to `archive/`."""
    keep_batches: int = Field(30, ge=1)
    """How many of a file's newest validated loads stay in RAW."""
    keep_quarantined_days: int = Field(30, ge=0)
    """Days for which the rows of quarantined batches stay in RAW for inspection."""

    s3_port: int = Field(8333, ge=1024, le=55000)
    """The first port that the embedded S3 server tries; if it is busy, the next free one is used."""
    warehouse_port: int = Field(8088, ge=1024, le=55000)
    """The same for the embedded warehouse."""
    prefect_port: int = Field(4200, ge=1024, le=55000)
    """The same for the embedded Prefect server."""
    docs_port: int = Field(8090, ge=1024, le=55000)
    """The same for the pages: Data Docs and dbt docs."""
    worker_port: int = Field(8095, ge=1024, le=55000)
    """The same for the worker of `cxm up`, which serves its health check on it."""

    task_runner: str = Field("threads", pattern=r"^(threads|dask|(tcp|tls|ucx|ws|wss)://.+)$")
    """Where tables and file parts are processed in parallel: `threads` of the run's process, `dask` (a cluster on this machine),
    or the address of a Dask scheduler, `tcp://host:8786`."""

    openlineage_namespace: str | None = None
    """The namespace of the jobs in OpenLineage events; none: no events. The client library decides where they go, by
    `OPENLINEAGE_URL` and its other variables."""

    @field_validator(
        "bucket",
        "database",
        "warehouse",
        "storage_integration",
        "loader_role",
        "transformer_role",
        "reporter_role",
        "privacy_role",
        "plan_role",
    )
    @classmethod
    def _suffixed(cls, value: str, info: ValidationInfo) -> str:
        """Add the environment: `CXM_MEDTECH` → `CXM_MEDTECH_DEV` if CXM_ENV is dev, so that developers never touch production."""
        env = info.data.get("env", "prod")
        if value == "ACCOUNTADMIN":  # Snowflake's own
            return value
        suffix = "" if env == "prod" else f"-{env}" if info.field_name == "bucket" else f"_{env.upper()}"
        return value if value.endswith(suffix) else value + suffix

    @model_validator(mode="after")
    def _pages_beside_rows(self) -> Settings:
        """Refuse pages under the prefixes of landed files: a lifecycle rule deletes everything under the pages' prefix."""
        bucket, _, prefix = self.docs_at.removeprefix("s3://").partition("/")
        if bucket == self.bucket and prefix.strip("/").split("/")[0] in ("", "raw", "archive"):
            raise ValueError(
                f"CXM_DOCS_PLACE: expected a prefix of its own, as s3://{bucket}/docs/, got {self.docs_at}, for landed files"
            )
        return self

    @model_validator(mode="after")
    def _tags_to_mask_by(self) -> Settings:
        """Refuse masking without tags: policies are set on tags, so without them nothing would be masked, silently."""
        if self.masking and not self.pii_tags:
            raise ConfigurationError(
                "CXM_MASKING: got true with CXM_PII_TAGS=false, expected tags, which policies are set on; Standard Edition has "
                "neither, and nothing is masked in MARTS: grant MARTS to no one who may not see it, or use Enterprise Edition"
            )
        return self

    @model_validator(mode="after")
    def _no_unknown_variable(self) -> Settings:
        """Refuse unknown CXM_* variables: a misspelt one would be ignored silently, and a run would use the default bucket."""
        known = {f"CXM_{name.upper()}" for name in type(self).model_fields} | NOT_SETTINGS
        for name in sorted(os.environ):
            if name.upper().startswith("CXM_") and name.upper() not in known:
                near = get_close_matches(name.upper(), known - NOT_SETTINGS, 1, 0.75)
                hint = f"did you mean {near[0]}?" if near else "unset it; the settings are those of flows/settings.py"
                raise ConfigurationError(f"{name}: no such setting; {hint}")
        return self

    @property
    def docs_at(self) -> str:
        """The docs place as `s3://bucket/prefix`; empty if the embedded stack serves the pages."""
        return self.docs_place or ("" if self.target == "embedded" else f"s3://{self.bucket}/docs/")

    def env_suffix(self, separator: str) -> str:
        """Return the suffix of names in this environment: empty for prod, else `<separator><env>`."""
        return "" if self.env == "prod" else f"{separator}{self.env}"

    @field_validator("source_places", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("data", mode="before")
    @classmethod
    def _place(cls, value: Any) -> str:
        text = str(value)
        return text if is_remote(text) else str(Path(text).expanduser().resolve())

    @field_validator("project", "home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @property
    def remote_places(self) -> tuple[str, ...]:
        """Every place that needs a login, including `data`."""
        return tuple(dict.fromkeys(text for text in (self.data, *self.source_places) if is_remote(text)))

    def inbox_queue(self, source: str) -> str:
        """Return the name of the SQS queue for events about a source's files."""
        return f"cxm-medtech-inbox-{source}{self.env_suffix('-')}"

    def inbox_place(self, source: str) -> tuple[str, str]:
        """Return the bucket and prefix of a source's files.

        Raises:
            ConfigurationError: the files are not on S3, or the target is embedded.
        """
        bucket, _, folder = self.data.partition("://")[2].rstrip("/").partition("/")
        if not self.data.startswith("s3://") or self.target == "embedded":
            raise ConfigurationError(
                f"CXM_INBOX_EVENTS: got CXM_DATA={self.data} and CXM_TARGET={self.target}, expected s3://bucket/prefix on AWS: "
                "only S3 sends events; unset it, and each look lists the place"
            )
        return bucket, f"{folder}/{source}/".removeprefix("/")

    @property
    def may_generate(self) -> bool:
        """Whether generated rows may be loaded: only into the embedded warehouse, never into an account."""
        return self.target == "embedded"

    @property
    def reads_query_costs(self) -> bool:
        """Whether the loader gets the grant for query costs, and reads them."""
        return self.target == "embedded" if self.query_costs is None else self.query_costs

    @property
    def s3_identity(self) -> tuple[str, SecretStr]:
        """Access key and secret of the embedded object store's only identity, made once per home by `flows.embedded`."""
        pair = json.loads(self._secret("s3.json"))["identities"][0]["credentials"][0]
        return pair["accessKey"], SecretStr(pair["secretKey"])

    @property
    def warehouse_logins(self) -> dict[str, SecretStr]:
        """User → password of the embedded warehouse: its administrator first, then one user for each role."""
        users = json.loads(self._secret("warehouse.json"))["users"]
        return {user: SecretStr(entry["password"]) for user, entry in users.items()}

    @property
    def prefect_auth(self) -> SecretStr:
        """The login for the embedded Prefect server's API and pages: `user:password`."""
        return SecretStr(self._secret("prefect.auth"))

    @property
    def forget_hash_key(self) -> SecretStr:
        """The key of the hashes in RAW.FORGOTTEN.

        Raises:
            ConfigurationError: the key does not exist.
        """
        if self.forget_key:
            return self.forget_key
        if self.target == "embedded":
            return SecretStr(self._secret("forget.key"))
        raise ConfigurationError(
            "CXM_FORGET_KEY: not set, expected a long random text, the key of the hashes that say who was forgotten; make one "
            "with `openssl rand -hex 32` and keep it: only with it can anybody tell later that a person was"
        )

    def _secret(self, name: str) -> str:
        path = self.home / "secrets" / name
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ConfigurationError(f"{path}: not found; start the embedded stack with `cxm up`") from None

    @property
    def stack(self) -> dict[str, Any]:
        """The running embedded stack's endpoints, as `flows.embedded.stack` wrote them.

        Raises:
            ConfigurationError: the target is embedded and no stack runs in this home.
        """
        path = self.home / "run" / "stack.json"
        try:
            document: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path}: not found, so no embedded stack runs in this home; start it with `cxm up`, or use `cxm run`, "
                "which starts and stops its own."
            ) from None
        return document
