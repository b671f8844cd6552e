"""Box plots, worked by hand, and what is left out of them."""

from saccade.report.boxes import draw_boxes
from saccade.report.gather import gather

LEFT, WIDTH = 130, 560 - 130 - 16  # of the frame; Dice runs from 0 to 1 over it


def test_boxes_by_hand(fake, tmp_path):
    dice = {"a": 0.1, "b": 0.7, "c": 0.8, "d": 0.9, "e": 0.8}
    run = gather(fake.make_run(tmp_path, {name: (value, None) for name, value in dice.items()}))
    plot, distances = draw_boxes(run)
    assert (plot.title, distances.title) == ("Dice", "HD95, mm")
    (row,) = plot.rows  # the spleen has no score
    # Sorted 0.1, 0.7, 0.8, 0.8, 0.9: quartiles 0.7, 0.8, 0.8, so whiskers reach from 0.7 - 0.15 to 0.8 + 0.15.
    for found, value in zip(
        (row.low, row.first_quartile, row.median, row.third_quartile, row.high), (0.7, 0.7, 0.8, 0.8, 0.9), strict=True
    ):
        assert abs(found - (LEFT + WIDTH * value)) < 0.06
    assert row.name == "liver"
    assert row.colour == run.colour("liver")
    assert sorted(point.text for point in row.points) == ["a: 0.1", "b: 0.7", "c: 0.8", "d: 0.9", "e: 0.8"]
    assert [text for _, text in plot.ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_long_names_are_cut_and_stay_whole_in_the_title(fake, tmp_path):
    run = fake.make_run(tmp_path, {"a": (0.1, 0.2), "b": (0.3, 0.4)})
    metrics = run / "validation" / "metrics.json"
    metrics.write_text(metrics.read_text("utf-8").replace("spleen", "portal and splenic vein"))
    row = draw_boxes(gather(run))[0].rows[1]
    assert (row.name, row.label) == ("portal and splenic vein", "portal and splenic …")


def test_one_case_makes_no_box(fake, tmp_path):
    assert draw_boxes(gather(fake.make_run(tmp_path, {"a": (0.1, 0.2)}))) == []
