"""Writes the tables between the markers of `architecture/benchmarks.md`, and `benchmarks.png`, from `benchmarks.json`.

Runs in the peers' environment, which has matplotlib.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).resolve().parents[2] / "architecture"
BEGIN, END = "<!-- measured: written by `make bench` -->\n", "<!-- end of measured -->\n"
TITLES = {
    "land x1": "Files → S3, full Olist size",
    "line x1": "Files → S3 over a line of 100 Mbit/s",
    "load x1": "Files → RAW, full Olist size",
    "land x10": "Files → S3, ten times the size",
    "load x10": "Files → RAW, ten times the size",
}
MBIT = 100


def table(group: str, peers: dict[str, Any]) -> list[str]:
    first = next(name for name in peers if name.startswith("ours"))
    base = median(peers[first]["wall"])
    lines = [
        f"### {TITLES[group]}",
        "",
        f"| | × the time of {first.split(':')[0]} | seconds: median (least – most) "
        "| after start-up | seconds of a core | peak memory | bytes sent |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in peers.items():
        wall, inside = runs["wall"], runs["inside"]
        cells = [
            name,
            f"**{median(wall) / base:.2f}**",
            f"{median(wall):.2f} ({min(wall):.2f} – {max(wall):.2f}), {len(wall)} runs",
            f"{median(inside):.2f}" if inside else "",
            f"{median(runs['cpu']):.2f}",
            f"{median(runs['memory']):.0f} MB",
            f"{runs['bytes'] / 1e6:.1f} MB" if runs["bytes"] else "none",
        ]
        if group.startswith("line"):
            floor = runs["bytes"] * 8 / MBIT / 1e6
            cells[-1] += f"; {median(wall) / floor:.2f} × the line's {floor:.2f} s"
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def plot(results: dict[str, Any]) -> None:
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7.5), layout="constrained")
    for row, what in enumerate(("land", "load")):
        for name in results.get(f"{what} x1", {}):
            points = [
                (results["sizes"][f"x{scale}"]["bytes"] / 1e6, results[f"{what} x{scale}"][name])
                for scale in (1, 10)
                if name in results.get(f"{what} x{scale}", {})
            ]
            sizes = [size for size, _ in points]
            for column, key in enumerate(("wall", "memory")):
                style = {"linewidth": 2.5} if name.startswith("ours") else {"linestyle": "--"}
                axes[row][column].plot(sizes, [median(r[key]) for _, r in points], marker="o", label=name, **style)
        for column, label in enumerate(("seconds, whole process", "peak memory, MB")):
            axis = axes[row][column]
            axis.set(xscale="log", yscale="log" if column == 0 else "linear", xlabel="MB of CSV", ylabel=label)
            axis.set_title("Files → S3" if what == "land" else "Files → RAW")
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize=7)
    figure.savefig(FOLDER / "benchmarks.png", dpi=110)


def main() -> None:
    results = json.loads((FOLDER / "benchmarks.json").read_text())
    machine = results["machine"]
    sizes = "; ".join(f"{k}: {v['bytes'] / 1e6:.0f} MB, {v['rows']:,} rows" for k, v in results["sizes"].items())
    lines = [
        f"Machine: {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}; load average at the end, "
        f"over 15 minutes: {machine['load_before']}.\nData: {sizes}, nine files.",
        "",
    ]
    for group in TITLES:
        if group in results:
            lines += table(group, results[group])
    page = FOLDER / "benchmarks.md"
    before, rest = page.read_text().split(BEGIN)
    page.write_text(before + BEGIN + "\n" + "\n".join(lines) + END + rest.split(END)[1])
    plot(results)


if __name__ == "__main__":
    main()
