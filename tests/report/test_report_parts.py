"""Charts, words and pictures, each against something independent."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from augury.report import charts, wording
from augury.report.pictures import strips
from tests.helpers.report_facts import verdict


def marks(chart, tag, kind):
    return [m for m in chart.marks if m.tag == tag and m.attributes["class"] == kind]


@pytest.mark.parametrize("n", [2, 3, 6, 20])
def test_the_interval_is_students(n):
    values = np.random.default_rng(n).normal(0.8, 0.02, n)
    expected = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert charts.interval(values) == pytest.approx(np.clip(expected, 0, 1), rel=1e-9)


def test_the_interval_of_shares_ends_at_0_and_1():
    assert charts.interval(np.array([0.6, 0.8])) == (0.0, 1.0)


@pytest.mark.parametrize("accuracies", [[0.6, 0.8], [1.0, 1.0], [0.0, 0.0]])
def test_the_chart_of_arms_has_no_accuracy_below_0_or_above_1(accuracies):
    v = verdict("underpowered", ("a", "b"), [5, 3], seeds=2)
    arms = {name: {**arm, "balanced_accuracy": accuracies} for name, arm in v.arms.items()}
    ticks = [float(m.text) for m in marks(charts.arms(replace(v, arms=arms)), "text", "tick middle")]
    assert ticks and 0 <= min(ticks) <= max(ticks) <= 1


def test_the_dashed_rule_of_the_compared_arm_leaves_the_names_free():
    chart = charts.arms(verdict("helps", ("a", "b"), [5, 3]))
    names = [m.attributes["y"] for m in chart.marks if m.tag == "text" and m.attributes["class"].startswith("label")]
    rules = [m.attributes for m in marks(chart, "line", "rule")]
    assert len(names) == len(rules) == 5 and len({rule["x1"] for rule in rules}) == 1
    assert not any(rule["y1"] < y + 4 and rule["y2"] > y - 12 for rule in rules for y in names)


def test_one_value_has_no_interval():
    assert charts.interval(np.array([0.8])) is None


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_evenly_apart_and_inside(low, span):
    scale = charts.Scale(low, low + span, 0, 100)
    if scale.high - scale.low < 1e-9 * max(1.0, abs(low)):
        return
    ticks = np.array(scale.ticks())
    assert 2 <= len(ticks) <= 10
    assert low - span * 1e-6 <= ticks[0] and ticks[-1] <= low + span * (1 + 1e-6)
    step = np.diff(ticks).mean()
    assert float(f"{step:.6e}"[0]) in (1.0, 2.0, 5.0) or step == pytest.approx(10 ** round(np.log10(step)))


def test_a_scale_maps_its_ends_and_its_middle():
    scale = charts.Scale(2, 4, 10, 30)
    assert (scale(2), scale(3), scale(4)) == (10, 20, 30)


def test_the_difference_chart_puts_seeds_and_interval_where_they_belong():
    v = verdict("helps", ("a", "b"), [5, 3])
    chart = charts.difference(v)
    kinds = ("zero", "whisker synthetic", "mean synthetic")
    (zero,), (whisker,), (mean,) = (marks(chart, "line", kind) for kind in kinds)
    dots = sorted(m.attributes["cx"] for m in marks(chart, "circle", "dot synthetic"))
    differences = np.sort(np.subtract(*(v.arms[name]["balanced_accuracy"] for name in ("gan", "classical"))))
    x0 = zero.attributes["x1"]
    per_unit = (mean.attributes["x1"] - x0) / v.difference
    np.testing.assert_allclose((np.array(dots) - x0) / per_unit, differences, atol=0.001)
    assert (whisker.attributes["x1"] - x0) / per_unit == pytest.approx(v.low, abs=0.001)
    assert (whisker.attributes["x2"] - x0) / per_unit == pytest.approx(v.high, abs=0.001)


def test_a_line_is_the_mean_of_its_bins():
    rows = [{"images": i, "loss_g": float(i % 2)} for i in range(1600)]
    (path,) = marks(charts.lines(rows, {"loss_g": "real"}, {"loss_g": "generator"}), "path", "line real")
    x, y = np.array([point.split(",") for point in path.attributes["d"][1:].split(" L")], float).T
    assert len(set(y)) == 1  # each bin holds as many zeros as ones
    means = np.arange(1600).reshape(160, 10).mean(1)
    np.testing.assert_allclose((x - x[0]) / (x[-1] - x[0]), (means - means[0]) / (means[-1] - means[0]), atol=2e-4)


def test_bars_show_sign_and_size():
    gain, loss = charts.bar(0.05, 0.1), charts.bar(-0.1, 0.1)
    (right,), (left,) = (marks(b, "rect", kind) for b, kind in ((gain, "gain"), (loss, "loss")))
    assert left.attributes["width"] == pytest.approx(2 * right.attributes["width"])
    assert right.attributes["x"] == 48 == left.attributes["x"] + left.attributes["width"]
    assert charts.bar(None, 0.1) is None and charts.bar(0.0, 0.0) is None


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (wording.share(0.91251), "0.913"), (wording.share(None), "–"), (wording.share(float("nan")), "–"),
        (wording.points(0.0123), "+1.2"), (wording.points(-0.0123), "−1.2"), (wording.points(-0.0001), "0.0"),
        (wording.points(None), "–"), (wording.share(-0.6091), "−0.609"),
        (wording.detectable(0.2549), "25.5 points"), (wording.detectable(0.9994), "99.9 points"),
        (wording.detectable(0.9996), "–"), (wording.detectable(8.16), "–"), (wording.detectable(None), "–"),
        (wording.signed("-3 or less (-0.5) in 3-fold of x-1, 2–-3"), "−3 or less (−0.5) in 3-fold of x-1, 2–-3"),
        (wording.number(0.00431), "0.00431"), (wording.number(84.2137), "84.2"), (wording.number(12345), "12,345"),
        (wording.number(0.5), "0.5"), (wording.number(-3), "−3"), (wording.number(None), "–"),
        (wording.number(1234.5), "1,234"), (wording.number("as is"), "as is"),
        (wording.duration(4.21), "4.2 s"), (wording.duration(59.99), "1 min 0 s"),
        (wording.duration(200), "3 min 20 s"), (wording.duration(3900), "1 h 5 min"), (wording.duration(None), "–"),
        (wording.phrase({"a": [1, 2], "b": True}), "a: 1, 2, b: yes"), (wording.phrase([]), "none"),
        (wording.phrase(list("abcdefghijklmnop")), "a, b, c, d, e, f, g, h, i, j, k, l and 4 more"),
        (wording.phrase(None), "–"), (wording.phrase(False), "no"),
        (wording.short("abc"), "abc"), (wording.short("a" * 30 + "b" * 30), "a" * 26 + "…" + "b" * 13),
        (wording.decimals(31.0, np.array([41.2])), "31.0"), (wording.decimals(0.41, np.array([0.9])), "0.410"),
        (wording.decimals(31.4, np.array([412.0])), "31"), (wording.decimals(0.0, np.array([0.0])), "0.0000"),
    ],
)  # fmt: skip
def test_numbers_in_words(actual, expected):
    assert actual == expected


def noise(n, side, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, channels, side, side), dtype=np.uint8)


def test_strips_keep_to_the_budget_by_shrinking():
    image_strips = [(noise(8, 96), f"strip {i}") for i in range(6)]
    roomy, tight = strips(image_strips, 10_000_000), strips(image_strips, 300_000)
    assert [s.width for s in roomy] == [96] * 6
    assert len(tight) == 6 and len({s.width for s in tight}) == 1 and tight[0].width < 96
    assert sum(len(s.uri) for s in tight) <= 300_000
    assert len(strips(image_strips, 8_000)) < 6


def test_no_images_give_no_strips():
    assert strips([], 1000) == []


def test_small_images_are_not_resized_and_oblong_ones_keep_their_shape():
    (strip,) = strips([(noise(3, 20, 1)[:, :, :10], "oblong")], 100_000)
    sheet = Image.open(io.BytesIO(base64.b64decode(strip.uri.split(",")[1])))
    assert (strip.width, strip.height, strip.count, strip.pixelated) == (20, 10, 3, True)
    assert sheet.size == (3 * 20 + 2 * 1, 10) and sheet.mode == "LA"
    assert sheet.getpixel((20, 5))[1] == 0 and sheet.getpixel((0, 0))[1] == 255
