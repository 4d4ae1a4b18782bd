import numpy as np
import pytest
from sklearn import metrics as theirs

from waymark import metrics

RNG = np.random.default_rng(3)
N = 600
WEIGHTS = RNG.integers(0, 4, N).astype(float)
PERSONS = [f"p{i}" for i in RNG.integers(0, 80, N)]


def forecast(n_classes, decimals=None):
    """Return class positions and probabilities that are right more often than not; rounding makes ties."""
    p = RNG.dirichlet(np.ones(n_classes), N)
    y = np.array([RNG.choice(n_classes, p=row) for row in p])
    p = p if decimals is None else np.round(p, decimals) + 0.01
    return y, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_metrics_are_those_of_scikit_learn(n_classes, weights):
    y, p = forecast(n_classes)
    labels = range(n_classes)
    expected = {
        "log_loss": theirs.log_loss(y, p, sample_weight=weights, labels=labels),
        "accuracy": theirs.accuracy_score(y, p.argmax(axis=1), sample_weight=weights),
        "macro_f1": theirs.f1_score(y, p.argmax(axis=1), sample_weight=weights, average="macro"),
        "brier": theirs.brier_score_loss(
            y, p[:, 1] if n_classes == 2 else p, sample_weight=weights, **({} if n_classes == 2 else {"labels": labels})
        ),
    }
    if n_classes == 2:
        expected["auc"] = theirs.roc_auc_score(y, p[:, 1], sample_weight=weights)
        expected["average_precision"] = theirs.average_precision_score(y, p[:, 1], sample_weight=weights)
    else:
        expected["top_3_accuracy"] = theirs.top_k_accuracy_score(y, p, k=3, sample_weight=weights, labels=labels)
    for name, value in expected.items():
        assert getattr(metrics, name)(y, p, weights) == pytest.approx(value, abs=1e-12), name


def test_equal_scores_are_ties_as_in_scikit_learn():
    y, p = forecast(2, decimals=1)
    assert metrics.auc(y, p) == pytest.approx(theirs.roc_auc_score(y, p[:, 1]))
    assert metrics.average_precision(y, p) == pytest.approx(theirs.average_precision_score(y, p[:, 1]))


@pytest.mark.parametrize("target", ["next_stage", "churn"])
def test_the_order_of_rows_changes_no_metric(target):
    y, p = forecast(2 if target == "churn" else 4, decimals=1)
    turned = RNG.permutation(N)
    for metric in metrics.metrics_for(target):
        assert metric(y[turned], p[turned]) == pytest.approx(metric(y, p), abs=1e-12), metric.name


def test_one_class_alone_has_no_rank():
    p = np.full((5, 2), 0.5)
    assert np.isnan(metrics.auc(np.zeros(5, int), p))
    assert np.isnan(metrics.average_precision(np.zeros(5, int), p))


def test_a_class_that_nobody_foresaw_costs_much_but_not_everything():
    assert metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-np.log(metrics.FLOOR))


def test_calibration_error_by_hand():
    p = np.array([0.1, 0.1, 0.1, 0.1, 0.8, 0.8, 0.8, 0.8])
    y = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    ece = metrics.calibration_error(2)
    assert ece(y, np.column_stack([1 - p, p])) == pytest.approx((0.15 + 0.05) / 2)
    assert ece(1 - y, np.column_stack([p, 1 - p])) == pytest.approx((0.15 + 0.05) / 2)


def test_calibration_bins_hold_equally_many_cases_and_part_no_ties():
    y, p = forecast(2)
    assert metrics.calibration_table(y, p, 10)["n"].tolist() == [N // 10] * 10
    same = np.full((N, 2), 0.5)
    assert metrics.calibration_table(y, same, 10)["n"].tolist() == [N]


def test_honest_forecasts_have_little_calibration_error_and_bold_ones_much():
    y, p = forecast(2)
    bold = np.where(p > 0.5, 0.99, 0.01)
    assert metrics.calibration_error()(y, p) < 0.06 < 0.2 < metrics.calibration_error()(y, bold)


def test_luck_alone_gives_forecasts_that_are_right_the_calibration_error_it_says():
    rng, ece = np.random.default_rng(4), metrics.calibration_error()
    p = rng.random(1000)
    forecast = np.column_stack([1 - p, p])
    errors = np.array([ece((rng.random(1000) < p).astype(int), forecast) for _ in range(400)])
    noise = metrics.calibration_noise(forecast, 10, seed=0)
    assert noise["mean"] == pytest.approx(errors.mean(), rel=0.05)
    assert 0.01 < (errors > noise["high"]).mean() < 0.12
    # By hand: each bin is off by a normal's mean distance from nought.
    spread = np.sqrt([(b * (1 - b)).sum() for b in np.split(np.sort(p), 10)])
    assert noise["mean"] == pytest.approx(np.sqrt(2 / np.pi) * spread.sum() / 1000, rel=0.05)


def test_luck_of_the_likeliest_class_counts_where_there_are_many_and_none_where_all_is_sure():
    y, p = forecast(4)
    assert 0 < metrics.calibration_noise(p, 10, seed=0)["mean"] < 0.1
    assert metrics.calibration_noise(np.eye(4)[y], 10, seed=0) == {"mean": 0.0, "high": 0.0}


@pytest.mark.parametrize("target", ["next_stage", "churn"])
def test_a_replicate_is_the_metric_with_persons_as_often_as_drawn(target):
    y, p = forecast(2 if target == "churn" else 4)
    names, person = np.unique(PERSONS, return_inverse=True)
    drawn = RNG.integers(0, 3, (4, len(names))).astype(float)
    for metric in metrics.metrics_for(target):
        got = metric.prepare(y, p, person)(drawn)
        np.testing.assert_allclose(got, [metric(y, p, w[person]) for w in drawn], err_msg=metric.name)


def test_the_same_seed_gives_the_same_samples_in_any_row_order():
    y, p = forecast(3)
    judges = metrics.metrics_for("next_stage")
    turned = RNG.permutation(N)
    one = metrics.bootstrap(y, {"m": p}, PERSONS, judges, 30, 7)["m"]
    two = metrics.bootstrap(y[turned], {"m": p[turned]}, np.array(PERSONS)[turned], judges, 30, 7)["m"]
    other = metrics.bootstrap(y, {"m": p}, PERSONS, judges, 30, 8)["m"]
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, err_msg=name)
    assert not np.allclose(other["log_loss"], one["log_loss"])


def test_intervals_cover_the_truth_where_rows_of_a_person_are_alike():
    """Half of 60 persons are always forecast rightly, the others four times in ten: the truth is 0.7."""
    covered = {"persons": 0, "rows": 0}
    for trial in range(80):
        rng = np.random.default_rng(trial)
        right = np.repeat(np.where(rng.random(60) < 0.5, 1.0, 0.4), 8) > rng.random(480)
        y, p = right.astype(int), np.tile([0.3, 0.7], (480, 1))
        for unit, names in (("persons", np.repeat(np.arange(60), 8)), ("rows", np.arange(480))):
            drawn = metrics.bootstrap(y, {"m": p}, names, [metrics.accuracy], 60, trial)["m"]["accuracy"]
            low, high = metrics.interval(metrics.accuracy(y, p), drawn, 0.95)
            covered[unit] += low <= 0.7 <= high
    assert covered["persons"] >= 70
    assert covered["rows"] < covered["persons"] - 10


def test_a_paired_difference_is_narrower_than_either_value():
    y, p = forecast(3)
    nearly = p * 0.95 + 0.05 / 3
    drawn = metrics.bootstrap(y, {"a": p, "b": nearly}, PERSONS, [metrics.log_loss], 100, 0)
    a, b = (drawn[m]["log_loss"] for m in "ab")
    assert np.ptp(a - b) < 0.3 * min(np.ptp(a), np.ptp(b))


def test_an_interval_lies_around_its_value_and_ignores_samples_without_one():
    low, high = metrics.interval(0.2, np.array([0.5, 0.6, 0.7, np.nan]), 0.9)
    assert low < 0.2 < high
    assert np.isnan(metrics.interval(0.2, np.array([np.nan]), 0.9)).all()
