"""Ticks and curves, worked by hand."""

from saccade.report import charts


def test_ticks_by_hand():
    assert charts.nice_ticks(0.08, 0.93) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.nice_ticks(0.0, 59.0, whole=True) == [0, 20, 40, 60]
    assert charts.nice_ticks(0.0, 2.0, whole=True) == [0, 1, 2]
    flat = charts.nice_ticks(0.5, 0.5)
    assert flat[0] < 0.5 < flat[-1]


def test_chart_points_by_hand():
    rows = [{"epoch": 0.0, "val_dice": 0.0}, {"epoch": 2.0, "val_dice": 0.5}, {"epoch": 2.0, "val_dice": 1.5}]
    (chart,) = charts.draw_charts(rows)
    # The frame runs from (46, 186) to (370, 10); the two rows of epoch 2 have the mean 1.0, the top tick.
    assert chart.lines[0].points == [(46.0, 186.0), (370.0, 10.0)]
    assert [text for _, text in chart.x_ticks] == ["0", "1", "2"]
    assert charts.draw_charts([{"val_dice": 1.0}, {"epoch": 1.0}]) == []


def test_one_epoch_and_a_diverged_loss_are_drawn():
    (chart,) = charts.draw_charts([{"epoch": 0.0, "train_loss": 3.0}, {"epoch": 1.0, "train_loss": float("inf")}])
    assert len(chart.lines[0].points) == 1
