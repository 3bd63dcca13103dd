"""One measured process of a peer, run in the environment that `make bench` creates for the peers.

python peers.py boto3|awscrt DATA PREFIX        each file to S3, as it is
python peers.py dlt DATA DATABASE               each file → dlt → a DuckDB file; S3 is left out
python peers.py duckdb FOLDER DATABASE          each file (CSV, gz or zst) → read_csv → a DuckDB file
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def boto3_(data: Path, prefix: str) -> None:
    """Upload file after file with boto3, as a first script would."""
    import boto3

    client = boto3.client("s3", region_name="us-east-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for path in sorted(data.glob("*.csv")):
        client.upload_file(str(path), os.environ["BENCH_BUCKET"], f"{prefix}/{path.name}")


def awscrt_(data: Path, prefix: str) -> None:
    """Upload all files at once with the S3 client that AWS writes in C."""
    from urllib.parse import urlparse

    from awscrt.auth import AwsCredentialsProvider
    from awscrt.http import HttpHeaders, HttpRequest
    from awscrt.io import ClientBootstrap, DefaultHostResolver, EventLoopGroup
    from awscrt.s3 import S3Client, S3RequestTlsMode, S3RequestType, create_default_s3_signing_config

    group = EventLoopGroup()
    bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
    credentials = AwsCredentialsProvider.new_static(
        os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    )
    client = S3Client(
        bootstrap=bootstrap,
        region="us-east-1",
        tls_mode=S3RequestTlsMode.DISABLED,
        signing_config=create_default_s3_signing_config(region="us-east-1", credential_provider=credentials),
    )
    host = urlparse(os.environ["AWS_ENDPOINT_URL"]).netloc
    running = []
    for path in sorted(data.glob("*.csv")):
        headers = HttpHeaders([("host", host), ("content-length", str(path.stat().st_size))])
        request = HttpRequest("PUT", f"/{os.environ['BENCH_BUCKET']}/{prefix}/{path.name}", headers)
        running.append(client.make_request(type=S3RequestType.PUT_OBJECT, request=request, send_filepath=str(path)))
    for one in running:
        one.finished_future.result()


def dlt_(data: Path, database: str) -> None:
    """Load with dlt's own CSV reader on DuckDB and its DuckDB destination; all columns are text as in RAW."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["DLT_DATA_DIR"] = str(Path(database).with_suffix(".dlt"))
    import dlt
    from dlt.sources.filesystem import filesystem, read_csv_duckdb

    pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(database), dataset_name="raw")
    pipeline.run(
        [
            (
                filesystem(bucket_url=data.as_uri(), file_glob=path.name)
                | read_csv_duckdb(use_pyarrow=True, all_varchar=True, header=True)
            ).with_name(path.stem)
            for path in sorted(data.glob("*.csv"))
        ],
        write_disposition="replace",
    )


def duckdb_(folder: Path, database: str) -> None:
    """Load with DuckDB alone: the least that any load into a file has to do."""
    import duckdb

    with duckdb.connect(database) as connection:
        for path in sorted(folder.iterdir()):
            connection.execute(
                f'CREATE TABLE "{path.name.split(".")[0]}" AS FROM read_csv(?, all_varchar=true, header=true, '
                """delim=',', quote='"', escape='"')""",
                [str(path)],
            )


if __name__ == "__main__":
    peer = {"boto3": boto3_, "awscrt": awscrt_, "dlt": dlt_, "duckdb": duckdb_}[sys.argv[1]]
    peer(Path(sys.argv[2]), sys.argv[3])
