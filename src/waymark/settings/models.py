"""Settings of models: which, how they are judged, searched, promoted and looked through for leaks."""

from typing import Any, Literal

from pydantic import Field, model_validator

from waymark.settings.section import Section

# The names of `models.MODELS`, here as well so that a wrong one is refused before any work starts.
ModelName = Literal[
    *("lightgbm", "logistic", "hazard"),
    *("most_frequent", "repeat_last", "chain", "back_off", "recency", "rfm_logistic", "bg_nbd"),
]


class Estimator(Section):
    """An estimator by its short name, and its settings; `models.make` checks those."""

    name: ModelName
    settings: dict[str, Any] = {}


class ModelConfig(Estimator):
    """The estimator of both targets, or of the next stage alone where churn has one of its own."""

    churn: Estimator | None = None

    def of(self, target: str) -> Estimator:
        """Return the estimator of `next_stage` or `churn`."""
        return self.churn if target == "churn" and self.churn is not None else self


class EvaluateConfig(Section):
    """How the models are judged."""

    baselines: dict[Literal["next_stage", "churn"], list[ModelName]]
    n_bootstrap: int = Field(200, ge=20)
    interval: float = Field(0.95, gt=0.5, lt=1)
    n_calibration_bins: int = Field(10, ge=2)
    n_explained: int = Field(400, ge=0)  # test persons whose reasons are summed and checked


class BacktestConfig(Section):
    """At how many moments back in time every model is judged."""

    n_origins: int = Field(4, ge=4)
    min_train_nights: int = Field(4, ge=1)  # of snapshots: whose horizon has passed at an origin


class Range(Section):
    """The values that a search may give one setting: those between two bounds, both included, or those listed."""

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False  # as likely between 1 and 10 as between 10 and 100
    choices: list[int | float | str | None] | None = Field(None, min_length=2)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "Range":
        bounds = (self.low, self.high)
        if (self.choices is None) != (None not in bounds) or (self.choices is not None and bounds != (None, None)):
            raise ValueError("give low and high, or choices")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low ({self.low}) is not below high ({self.high})")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers lie between the bounds."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class SearchConfig(Section):
    """What a search may change, and on which held-out part of the training rows it judges that."""

    n_trials: int = Field(30, ge=1)
    n_folds: int = Field(3, ge=1, le=20)
    min_train_nights: int = Field(4, ge=1)
    ranges: dict[ModelName, dict[str, Range]]


class PromoteConfig(Section):
    """When a model becomes champion."""

    n_bootstrap: int = Field(400, ge=100)
    interval: float = Field(0.95, gt=0.5, lt=1)
    margin: float = Field(0.02, ge=0, lt=1)  # of the rival's log loss: worse by less is equal, by more clearly worse
    max_ece: float = Field(0.05, ge=0, lt=1)  # calibration error that a challenger may have where its rival has less
    min_persons: int = Field(100, ge=10)  # a group of fewer test persons guards nothing
    keep: int = Field(5, ge=1, le=100)  # champions before the present one, to go back to


class LeakcheckConfig(Section):
    """How hard leakcheck looks for what a cut-off must not see."""

    n_persons: int = Field(1000, ge=50)  # sampled, with all their identifiers
    n_cutoffs: int = Field(2, ge=1)  # evenly spread over those of the training rows
    # A feature tells too much where it alone reaches the AUC, and leads all that do not together by the lead.
    alone_auc: float = Field(0.8, gt=0.5, lt=1)
    alone_lead: float = Field(0.1, gt=0, lt=0.5)
    # So does an attribute that, where all features together reach the AUC, closes so much of the gap between the AUC
    # without it and 1; and a feature of the user's own.
    added_gain: float = Field(0.1, gt=0, lt=1)
    n_sigma: float = Field(5, ge=3)  # skill where there can be none is an alarm from so many standard errors on
    fail: bool = False  # an alarm stops the run
