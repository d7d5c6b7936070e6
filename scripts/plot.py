"""Draws the measurements; scripts/plot runs this."""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# Equal figures produce equal files.
matplotlib.rcParams["svg.hashsalt"] = "ocis-sse"
import matplotlib.pyplot as plt  # noqa: E402

folder = Path(sys.argv[1])
lines = [json.loads(line) for line in (folder / "measurements.jsonl").read_text().splitlines()]
machine = lines[0]["machine"]
caption = f"{machine['processor']}, {machine['cores']} cores, Linux {machine['kernel']}, {lines[0]['date']}"


def of(series, mode):
    """Returns the runs of a series in a mode."""
    return [line for line in lines[1:] if line["series"] == series and line["mode"] == mode]


def draw(name, title, across, up, curves, scale="linear"):
    """Draws a plot as an SVG file."""
    figure, axes = plt.subplots(figsize=(7, 4))
    for label, xs, ys, style in curves:
        axes.plot(xs, ys, style, label=label)
    axes.set(title=title, xlabel=across, ylabel=up, xscale=scale)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.text(0.01, 0.01, caption, fontsize=6, color="gray")
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


idle = of("idle", "idle")
draw(
    "memory",
    "Resident memory of the service",
    "idle streams",
    "MiB",
    [("all of it", [run["streams"] for run in idle], [run["memory"] for run in idle], "o-")],
)

curves = []
for label, mode, color in [("ocis-sse", "unicast", "C0"), ("the floor", "floor", "C1")]:
    runs = of("rates", mode)
    for percentile, line in [("p50", "-"), ("p99", "--")]:
        latency = [run["latency"][percentile] / 1000 for run in runs]
        curves.append((f"{label}, {percentile}", [run["rate"] for run in runs], latency, f"{color}o{line}"))
draw("latency", "From publishing to arrival", "events a second, each to one of 1,000 users", "ms", curves, "log")

curves = []
for label, mode in [("ocis-sse", "broadcast"), ("the floor", "floor")]:
    runs = of("streams", mode)
    curves.append((label, [run["streams"] for run in runs], [run["cpu_to_deliver"] for run in runs], "o-"))
draw("delivery", "CPU of a delivery", "streams that an event goes to", "µs", curves, "log")
