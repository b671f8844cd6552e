"""The picture of a learning-rate range test."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from saccade.rate_finding import RateCurve


def draw_rates(curve: "RateCurve") -> Figure:
    """Loss against learning rate, both rates that it suggests marked.

    Args:
        curve: What the test saw.
    """
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(curve.rates, curve.losses, color="#9aa5b1", linewidth=0.8, label="loss of a batch")
    axes.plot(curve.rates, curve.smoothed, color="#1f5fa8", linewidth=1.8, label="smoothed")
    for rate, style, name in ((curve.steepest, "--", "steepest fall"), (curve.tenth_of_least, ":", "least loss / 10")):
        axes.axvline(rate, color="#c2410c", linestyle=style, linewidth=1.2, label=f"{name}: {rate:.2g}")
    low, high = float(curve.smoothed.min()), float(curve.smoothed[0])
    room = max(high - low, 0.05 * abs(high), 1e-6)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.3 * room, high + 0.8 * room))
    axes.legend(fontsize=8)
    return figure
