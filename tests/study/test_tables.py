"""Result tables: every cell, organs without a case, errors."""

import pytest

from saccade.errors import InputError
from saccade.metrics import METRICS
from saccade.study.evaluation import evaluation_tables
from saccade.study.tables import COLUMNS, as_markdown, results_table

COUNTS = {"n": 3, "n_missed": 1, "n_spurious": 0}


def result() -> dict:
    liver = {metric: {"mean": index + 0.0625, "std": 0.5, **COUNTS} for index, metric in enumerate(METRICS)}
    nobody = {metric: {"mean": None, "std": float("nan"), "n": 0, "n_missed": 0, "n_spurious": 0} for metric in METRICS}
    return {"cases": {}, "summary": {"liver": liver, "a|b": nobody}}


def test_every_metric_has_a_column():
    assert tuple(COLUMNS) == METRICS


def test_markdown():
    assert results_table(result()) == (
        "| Organ | DSC | Precision | Recall | S2S (mm) | HD95 (mm) | Surface Dice | Volume error (ml) "
        "| Cases | Missed | Spurious |\n"
        "| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n"
        "| liver | 0.062 ± 0.500 | 1.062 ± 0.500 | 2.062 ± 0.500 | 3.062 ± 0.500 | 4.062 ± 0.500 | 5.062 ± 0.500 "
        "| 6.062 ± 0.500 | 3 | 1 | 0 |\n"
        "| a\\|b | - | - | - | - | - | - | - | 0 | 0 | 0 |\n"
    )


def test_csv():
    header, liver, nobody = results_table(result(), "csv").splitlines()
    assert header.startswith("organ,dice_mean,dice_std,precision_mean,")
    assert header.endswith("volume_error_ml_std,n,n_missed,n_spurious")
    assert liver.startswith("liver,0.0625,0.5,1.0625,0.5,")
    assert liver.endswith(",3,1,0")
    assert nobody == "a|b," + "," * 14 + "0,0,0"


def test_intervals_stand_beside_the_summary():
    some = {**result(), "intervals": {"liver": {m: {"low": 0.25, "high": 0.75} for m in METRICS},
                                      "a|b": {m: {"low": None, "high": float("nan")} for m in METRICS}}}  # fmt: skip
    summary, intervals = as_markdown(evaluation_tables(some)).split(
        "\n**95 % interval of the mean, from bootstrap over cases**\n\n"
    )
    assert summary == results_table(result())
    assert intervals.splitlines()[2] == "| liver | " + " | ".join(["0.250 to 0.750"] * 7) + " |"
    assert len(intervals.splitlines()) == 3  # an organ with too few cases has no row
    header, liver, nobody = results_table(some, "csv").splitlines()
    assert header.endswith(",n_spurious,dice_low,dice_high,precision_low,precision_high,recall_low,recall_high,"
                           "surface_distance_mm_low,surface_distance_mm_high,hd95_mm_low,hd95_mm_high,"
                           "surface_dice_low,surface_dice_high,volume_error_ml_low,volume_error_ml_high")  # fmt: skip
    assert liver.endswith(",3,1,0" + ",0.25,0.75" * 7)
    assert nobody.endswith(",0,0,0" + "," * 14)
    del some["intervals"]["liver"]
    assert as_markdown(evaluation_tables(some)) == results_table(result())


def test_unknown_format():
    with pytest.raises(InputError) as error:
        results_table(result(), "latex")
    assert str(error.value) == "results_table: unknown format 'latex'. Known: markdown, csv."
