"""Runs a command and writes what it took: `python -I measured.py RESULT COMMAND…` → {"wall", "cpu", "memory", "status"}.

Seconds, CPU seconds, MB at the peak, and the exit status.

A separate process, because the kernel counts the parent's memory at the fork into the child's peak, and this one holds little.
"""

import json
import os
import subprocess
import sys
import time

started = time.perf_counter()
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
wall = time.perf_counter() - started
child.returncode = os.waitstatus_to_exitcode(status)
unit = 1024 * 1024 if sys.platform == "darwin" else 1024
with open(sys.argv[1], "w") as file:  # noqa: PTH123 - pathlib costs memory
    cpu = usage.ru_utime + usage.ru_stime
    json.dump({"wall": wall, "cpu": cpu, "memory": usage.ru_maxrss / unit, "status": child.returncode}, file)
