"""Runs uv with pip's configuration, so that set-up uses the index and the certificates that pip uses here.

    .venv/bin/python .ci/uv.py pip sync requirements.lock

uv reads neither pip.conf nor PIP_*. Variables already set for uv stay (https://docs.astral.sh/uv/reference/environment/).
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# pip's option → uv's variable and the separator that uv expects between several values.
NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "no-index": ("UV_NO_INDEX", " "),
}


def of_pip(listed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return uv's variables for what `pip config list` prints; an option in several sections follows pip's precedence."""
    found = dict(_options(listed))
    if "UV_INDEX_URL" in environment:  # uv's older name
        found.pop("index-url", None)
    variables = {
        variable: joint.join(found[option].split())
        for option, (variable, joint) in NAMES.items()
        if found.get(option) and variable not in environment
    }
    if "UV_INDEX" in variables and "UV_INDEX_STRATEGY" not in environment:
        # pip looks at all of its indexes, uv only at the first that has the package.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


def _options(listed: str) -> Iterator[tuple[str, str]]:
    """Yield (option, value) so that later ones win: global, then install, then the environment."""
    lines = [line.partition("=") for line in listed.splitlines() if "=" in line]
    order = ("global", "install", ":env:")
    for section in order:
        for key, _, value in lines:
            owner, _, option = key.rpartition(".")
            if owner == section:
                yield option, str(ast.literal_eval(value))


def main() -> int:
    """Run uv as pip would be run here."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], capture_output=True, text=True
    ).stdout
    variables = of_pip(listed, os.environ)
    done = subprocess.run([Path(sys.executable).with_name("uv"), *sys.argv[1:]], env={**os.environ, **variables})
    if done.returncode:
        set_ = ", ".join(sorted(variables)) or "nothing"
        sys.stderr.write(
            f"set-up: uv ended with exit code {done.returncode}. From pip's configuration it was given {set_}. Where packages "
            "come from another index, set UV_DEFAULT_INDEX to its address and SSL_CERT_FILE to its certificates; run make again\n"
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
