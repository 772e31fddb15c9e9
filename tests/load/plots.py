"""Pictures of what the load test measured over time."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes


def draw(folder: Path, figures: dict[str, Any]) -> None:
    """One PNG for each part that has something to show over time."""
    folder.mkdir(parents=True, exist_ok=True)
    if "sustained" in figures:
        _picture(folder / "sustained.png", _rate_over_time, _latency_over_time, figures=figures["sustained"])
    if "burst" in figures:
        _picture(folder / "burst.png", _burst_rates, _burst_times, figures=figures["burst"])
    if "unary" in figures:
        _picture(folder / "unary.png", _unary_rounds, figures=figures["unary"])


def _picture(path: Path, *parts: Any, figures: dict[str, Any]) -> None:
    figure, axes = pyplot.subplots(len(parts), 1, figsize=(10, 4 * len(parts)), squeeze=False)
    for part, (each,) in zip(parts, axes, strict=True):
        part(each, figures)
        each.grid(alpha=0.3)
        each.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _rate_over_time(axes: Axes, figures: dict[str, Any]) -> None:
    """Of each second, from the counts of tasks that run."""
    seconds, rates = [], []
    last_at, last_running = 0.0, 0
    for at, running in figures["timeline"]:
        if at - last_at >= 1.0:
            seconds.append(at)
            rates.append((running - last_running) / (at - last_at))
            last_at, last_running = at, running
    axes.plot(seconds, rates, label="RUNNING and committed")
    axes.axhline(1500, linestyle="--", color="tab:red", label="must")
    axes.axhline(3000, linestyle=":", color="tab:green", label="goal")
    axes.set(title=f"Sustained, {figures['agents']} agents", xlabel="s", ylabel="tasks/s", ylim=(0, None))


def _latency_over_time(axes: Axes, figures: dict[str, Any]) -> None:
    seconds, taken_ms = zip(*figures["latencies"], strict=True)
    axes.plot(seconds, taken_ms, ".", markersize=2, label="submission wholly RUNNING")
    axes.set(xlabel="s", ylabel="ms", ylim=(0, None))


def _burst_rates(axes: Axes, figures: dict[str, Any]) -> None:
    rates = [each["acknowledged_per_second"] for each in figures["rounds"]]
    axes.bar(range(1, len(rates) + 1), rates, label="acknowledged")
    axes.axhline(10_000, linestyle="--", color="tab:red", label="must")
    axes.set(title=f"Burst of 10,000 tasks, {figures['agents']} agents", xlabel="round", ylabel="tasks/s")


def _burst_times(axes: Axes, figures: dict[str, Any]) -> None:
    rounds = range(1, len(figures["rounds"]) + 1)
    for name in ("delivered_seconds", "running_seconds"):
        axes.plot(rounds, [each[name] for each in figures["rounds"]], "o-", label=name.removesuffix("_seconds"))
    axes.axhline(3.0, linestyle="--", color="tab:red", label="must be delivered")
    axes.set(xlabel="round", ylabel="s", ylim=(0, None))


def _unary_rounds(axes: Axes, figures: dict[str, Any]) -> None:
    for name, label in (("empty", "empty call"), ("assigned", "RunTask"), ("running", "RunTask, RUNNING at once")):
        rates = figures[name]["rounds_per_second"]
        axes.plot(range(1, len(rates) + 1), rates, "o-", label=label)
    axes.set(title=f"Unary calls, ratio {figures['ratio']:.2f}", xlabel="round", ylabel="calls/s", ylim=(0, None))
