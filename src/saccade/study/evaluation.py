"""Everything an evaluation says, as tables for the terminal and for Markdown."""

from collections.abc import Collection, Mapping
from typing import Any

from saccade.metrics import METRICS
from saccade.metrics.inputs import Real
from saccade.study.comparison import MEAN
from saccade.study.tables import COLUMNS, COUNTS, Table, interval_rows, number, span, table_rows


def evaluation_tables(result: Mapping[str, Any], *, compared: Collection[str] = METRICS) -> list[Table]:
    """What there is to show of a result, in the order in which it should be read.

    Args:
        result: What `evaluate_folders` returns, with ``"against"`` from `compare_results` where there is one.
        compared: Metrics whose comparison is shown.

    Returns:
        The summary; the intervals where there are five cases; lesions, their sizes and FROC, and the comparisons,
        where they are in the result.
    """
    tables = [Table(f"mean ± standard deviation over {len(result['cases'])} case(s)", table_rows(result), len(COUNTS))]
    if len(rows := interval_rows(result)) > 1:
        tables.append(Table("95 % interval of the mean, from bootstrap over cases", rows))
    if "lesions" in result:
        tables += _lesion_tables(result["lesions"])
    if "against" in result:
        tables += [_comparison(result["against"], metric) for metric in compared]
    return tables


def _lesion_tables(lesions: Mapping[str, Any]) -> list[Table]:
    scores = ("sensitivity", "false_positives_per_case", "precision", "component_dice")
    found = [["Organ", "Lesions", "Found", "Sensitivity", "False positives per case", "Precision", "Dice per lesion"]]
    sizes = [["Organ", "Size (ml)", "Lesions", "Found", "Sensitivity", "Dice per lesion"]]
    froc: list[list[str]] = []
    for organ, scored in lesions.items():
        summary = scored["summary"]
        cells = [_with_interval(summary[score], summary["intervals"][score]) for score in scores]
        found.append([organ, str(summary["n_lesions"]), str(summary["n_found"]), *cells])
        for size in summary["sizes"]:
            counts = [str(size["n"]), str(size["n_found"])]
            sizes.append([organ, _size(size), *counts, number(size["sensitivity"]), number(size["component_dice"])])
        if "froc" in scored:
            at = scored["froc"]["sensitivity_at"]
            froc = froc or [["Organ", *at, "Mean"]]
            froc.append([organ, *map(number, at.values()), number(scored["froc"]["mean_sensitivity"])])
    tables = [
        Table("lesions found, with 95 % intervals from bootstrap over cases", found),
        Table("lesions by size", sizes),
    ]
    return [*tables, Table("sensitivity at false positives per case (FROC)", froc)] if froc else tables


def _comparison(against: Mapping[str, Any], metric: str) -> Table:
    rows = [["Organ", "Pairs", "Here", "There", "Difference", "p", "p (Holm)", "Verdict"]]
    compared = {organ: metrics[metric] for organ, metrics in against["organs"].items()}
    for organ, found in {**compared, MEAN: against["mean_over_organs"][metric]}.items():
        numbers = [number(found["mean"]), number(found["mean_other"]), _with_interval(found["difference"], found)]
        p = [number(found["p"], ".2g"), number(found["p_holm"], ".2g")]
        rows.append([organ, str(found["n"]), *numbers, *p, found["verdict"]])
    return Table(f"{COLUMNS[metric]} against the other, over {against['cases']} shared case(s)", rows, keep=1)


def _with_interval(value: Real | None, interval: Mapping[str, Any]) -> str:
    ends = span(interval)
    return number(value) if ends == "-" else f"{number(value)} ({ends})"


def _size(size: Mapping[str, Any]) -> str:
    low, high = size["from_ml"], size["below_ml"]
    if high is None:
        return f"from {low:.3g}" if low else "all"
    return f"{low:.3g} to {high:.3g}" if low else f"below {high:.3g}"
