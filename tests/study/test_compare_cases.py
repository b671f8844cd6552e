"""Seeds averaged with failures counted, corrections over comparisons, and who is held against whom."""

import math

import numpy as np
import pytest
from fake_study import EXTENT, make_arm, make_study, scores

from saccade.metrics import METRICS
from saccade.study.compare_cases import average_seeds, compare_arms, mean_dice_of_cases
from saccade.study.compare_plan import pairs_of
from saccade.study.compare_tables import study_markdown, study_tables

NAN = float("nan")
NOTHING = dict.fromkeys(METRICS, NAN)
MISSED = {**dict.fromkeys(METRICS, 0.0), "precision": NAN, "hd95_mm": 60.0, "surface_distance_mm": 60.0}


def one_case(found):
    return {"cases": {"a": {"liver": found}}, "extents": {"a": EXTENT}}


def averaged(*found):
    return average_seeds([one_case(scores) for scores in found])["cases"]["a"]["liver"]


def test_seeds_are_averaged_and_failures_count_as_the_worst() -> None:
    mean = averaged(scores(0.9), scores(0.6))
    assert mean["dice"] == pytest.approx(0.75)
    assert mean["hd95_mm"] == pytest.approx((1 + 4) / 2)
    half = averaged(scores(0.8), MISSED)
    assert half["dice"] == half["precision"] == pytest.approx(0.4)  # an organ without prediction has precision 0
    assert half["hd95_mm"] == pytest.approx((2 + 60) / 2)  # the scan's diagonal
    assert half["volume_error_ml"] == pytest.approx((2 + 70) / 2)
    spurious = averaged({**scores(0.0), "recall": NAN}, NOTHING)  # drawn once where nothing is, once not
    assert spurious["dice"] == pytest.approx((0 + 1) / 2)
    assert spurious["hd95_mm"] == pytest.approx((60 + 0) / 2)


def test_what_all_seeds_agree_on_stays() -> None:
    assert math.isnan(averaged(MISSED, MISSED)["precision"])
    assert all(math.isnan(value) for value in averaged(NOTHING, NOTHING).values())
    assert averaged(scores(0.3)) == scores(0.3)


def test_a_case_without_organs_has_no_mean() -> None:
    result = {"cases": {"a": {"liver": scores(0.6), "spleen": scores(0.8), "kidney": NOTHING}, "b": {"liver": NOTHING}}}
    assert mean_dice_of_cases(result) == {"a": pytest.approx(0.7)}


def test_each_is_held_against_its_control_or_the_first() -> None:
    assert pairs_of(["unet", "attention-unet"]) == [("attention-unet", "unet")]
    assert pairs_of(["attention-unet", "unet"]) == [("attention-unet", "unet")]
    assert pairs_of(["my.net:A", "my.net:B"]) == [("my.net:B", "my.net:A")]
    assert pairs_of(["my.net:A", "attention-unet", "unet"]) == [("attention-unet", "unet"), ("unet", "my.net:A")]
    assert pairs_of(["unet"]) == []


def test_p_is_corrected_over_the_comparisons_and_a_verdict_with_it() -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(0.4, 0.6, 6)
    arms = {
        "control": make_arm({"liver": [*base]}),
        **{f"better {n}": make_arm({"liver": [*(base + 0.1 + 0.01 * generator.uniform(size=6))]}) for n in (1, 2)},
    }
    (alone,) = compare_arms(arms, [("better 1", "control")])
    mean = alone["mean_over_organs"]["dice"]
    assert (mean["p"], mean["p_holm"], mean["verdict"]) == (0.03125, 0.03125, "better")  # 2 / 2^6
    both = compare_arms(arms, [("better 1", "control"), ("better 2", "control")])
    for pair in both:
        mean = pair["mean_over_organs"]["dice"]
        assert (mean["p"], mean["p_holm"]) == (0.03125, 0.0625)
        assert mean["verdict"] == "difference not shown: p is not below 0.05"


def test_tables_say_who_was_better_and_what_it_cost() -> None:
    arms = {
        "new": make_arm({"liver": [0.9] * 6, "spleen": [0.7] * 6}),
        "old": make_arm({"liver": [0.8] * 6, "spleen": [0.6] * 6}),
        "other": make_arm({"liver": [0.8] * 6}),
    }
    study = make_study(arms, [("new", "old")], notes=["40 cases."])
    costs, comparisons, organs = study_tables(study)
    mean = ["6", "0.800 ± 0.000", "0.100 to 0.900"]
    assert costs.rows[1] == ["new", *mean, "1,234,567", "0.250 s", "2 x 75 s", "2.34 GB"]
    found = ["6", "+0.100", "0.100 to 0.100", "0.031", "0.031", "better"]
    assert comparisons.rows[1:] == [["new", "old", *found]]
    assert organs.rows[0] == ["", "new", "old", "other"]
    assert organs.rows[1] == ["liver DSC", "0.900 ± 0.000", "0.800 ± 0.000", "0.800 ± 0.000"]
    assert organs.rows[4] == ["liver S2S (mm)", "1.000 ± 0.000", "2.000 ± 0.000", "2.000 ± 0.000"]
    assert organs.rows[5] == ["spleen DSC", "0.700 ± 0.000", "0.600 ± 0.000", "-"]
    assert organs.rows[-2:] == [["Params", *["1.23 M"] * 3], ["Time", *["0.250 s"] * 3]]
    assert study_markdown(study).endswith("- 40 cases.\n")
