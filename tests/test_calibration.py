"""Log-probabilities are stretched where newer rows of others prove that it serves, and only there."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax

from test_explanations import check_sums
from waymark import models
from waymark.calibration import fit_slope, gain_over, loss_at
from waymark.estimators import Boosting
from waymark.forest import stretch

SURE_OF_ITSELF = {
    **{"n_estimators": 150, "num_leaves": 31, "min_child_samples": 2, "reg_lambda": 0.0},
    **{"colsample_bytree": 1.0, "early_stopping_rounds": 0, "start_order": 1},
}


def test_a_slope_is_found_again():
    rng = np.random.default_rng(0)
    log_p = log_softmax(rng.normal(0, 2, (20_000, 4)), axis=1)
    told = log_softmax(0.6 * log_p, axis=1)
    code = (rng.random(len(told))[:, None] > np.exp(told).cumsum(axis=1)).sum(axis=1)
    slope = fit_slope(log_p, code)
    assert slope == pytest.approx(0.6, abs=0.02)
    np.testing.assert_allclose(loss_at(log_p, code, 0.6), -told[np.arange(len(code)), code])
    gains = loss_at(log_p, code, 1.0) - loss_at(log_p, code, slope)
    assert gain_over(gains, np.arange(len(code)).astype(str), 0)[1] > 0


def noisy(n=6000, n_classes=3):
    """Return rows of cases, four each, whose class hangs on one of eight numbers, and not surely."""
    rng = np.random.default_rng(4)
    x = pd.DataFrame(rng.normal(size=(n, 8)).astype("float32"), columns=[f"f_{k}" for k in range(8)])
    x.insert(0, "f_stage", rng.integers(0, 3, n).astype("float32"))
    odds = np.column_stack([x["f_0"], -x["f_0"], np.zeros(n)]) * 0.7
    code = (rng.gumbel(size=(n, 3)) + odds).argmax(axis=1)
    case = np.arange(n) // 4
    y = np.array(["cart", "order", "stay"])[np.minimum(code, n_classes - 1)]
    return x, y, np.char.add("case", case.astype(str)), case


def sure_of_themselves(share, n_classes=3):
    x, y, case, time = noisy(n_classes=n_classes)
    old = time < 1200
    model = Boosting(start_columns=("f_stage",), calibration_share=share, **SURE_OF_ITSELF)
    return model.fit(x[old], y[old], groups=case[old], times=time[old]), x[~old], y[~old]


@pytest.mark.slow
def test_trees_that_are_too_sure_of_themselves_are_made_to_doubt():
    (plain, x, y), (model, *_) = (sure_of_themselves(share) for share in (0.0, 0.2))
    assert model.slope_ < 0.8
    code = np.searchsorted(model.classes_, y)
    moved, left = (-np.log(m.predict_proba(x)[np.arange(len(code)), code]).mean() for m in (model, plain))
    assert moved < left - 0.02


@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_that_reads_stretched_trees_stays_right(n_classes, tmp_path, monkeypatch):
    monkeypatch.setattr("waymark.estimators.gain_over", lambda gains, who, seed: (1.0, 1.0))
    monkeypatch.setattr("waymark.estimators.fit_slope", lambda log_p, code: 0.5)
    monkeypatch.setitem(SURE_OF_ITSELF, "n_estimators", 20)
    (plain, x, _), (model, *_) = (sure_of_themselves(share, n_classes) for share in (0.0, 0.2))
    log_p = 0.5 * np.log(plain.predict_proba(x))
    np.testing.assert_allclose(np.log(model.predict_proba(x)), log_softmax(log_p, axis=1), atol=1e-6)
    check_sums(model, x.iloc[:200])
    again = models.read(tmp_path / "model.skops", models.save(model, tmp_path / "model.skops"))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_what_is_calibrated_stays_as_it_is_to_the_last_digit():
    x, y, case, time = noisy()
    plain, model = (Boosting(calibration_share=share).fit(x, y, groups=case, times=time) for share in (0.0, 0.2))
    assert model.slope_ == 1
    np.testing.assert_array_equal(model.predict_proba(x), plain.predict_proba(x))


def test_trees_kept_before_there_were_slopes_still_forecast():
    x, y, case, time = noisy(400)
    model = Boosting(start_columns=("f_stage",), start_order=1, n_estimators=5).fit(x, y, groups=case, times=time)
    p = model.predict_proba(x)
    del model.slope_
    np.testing.assert_array_equal(model.predict_proba(x), p)


def test_persons_who_judge_a_slope_taught_nothing_before(monkeypatch):
    """Nights in a row share their labels, so that whoever was seen would look well forecast."""
    x, y, _, _ = noisy()
    person, night = np.char.add("p", (np.arange(len(x)) % 600).astype(str)), np.arange(len(x)) // 600
    taught = []
    fit = Boosting.fit

    def watched(self, X, y, sample_weight=None, groups=None, times=None):
        taught.append((set(groups), times.max()))
        return fit(self, X, y, sample_weight, groups, times)

    judged = []
    monkeypatch.setattr(Boosting, "fit", watched)
    monkeypatch.setattr("waymark.estimators.gain_over", lambda g, who, seed: judged.extend(who) or (0.0, -1.0))
    Boosting(calibration_share=0.3, n_estimators=5).fit(x, y, groups=person, times=night)
    (everybody, last), (some, newest) = taught
    assert newest < night.max() - 2 < last
    assert judged
    assert not set(judged) & some
    assert some < everybody


def test_trees_say_so_much_less():
    x, y, _, _ = noisy()
    model = Boosting(n_estimators=5).fit(x, y)
    before = model.trees_.predict(model.matrix(x), raw_score=True)
    stretch(model.trees_, 0.25)
    np.testing.assert_allclose(model.trees_.predict(model.matrix(x), raw_score=True), before / 4, atol=1e-12)
