"""The law of the simulated brand: who comes, what they do next, who goes silent and who returns.

Everything here is a table or a pure function of it; docs/simulated-brand.md says the same in words.
"""

from dataclasses import dataclass

import numpy as np

STAGES = ("awareness", "consideration", "intent", "purchase", "loyalty", "advocacy", "trouble")
STATES = (*STAGES, "answered")  # the last: trouble that support has answered
AWARENESS, CONSIDERATION, INTENT, PURCHASE, LOYALTY, ADVOCACY, TROUBLE, ANSWERED = range(8)
MOVES = ("awareness", "consideration", "intent", "order", "advocacy", "trouble")
ORDER, OTHER = 3, 6  # columns of ENTRY and STEP where they differ from stages
ORDERS_FOR_LOYALTY = 3

# First event of a visit while the last one is still fresh; one row a state, one column a move.
# The last column is an errand: an event without a stage (order status, call to support).
ENTRY = np.array([
    # awareness, consideration, intent, order, advocacy, trouble, errand
    [0.64, 0.33, 0.03, 0.00, 0.00, 0.00, 0.00],
    [0.06, 0.79, 0.14, 0.01, 0.00, 0.00, 0.00],
    [0.03, 0.21, 0.64, 0.09, 0.00, 0.03, 0.00],
    [0.03, 0.24, 0.07, 0.03, 0.13, 0.18, 0.32],
    [0.03, 0.23, 0.12, 0.06, 0.17, 0.12, 0.27],
    [0.03, 0.25, 0.11, 0.03, 0.34, 0.05, 0.19],
    [0.02, 0.09, 0.02, 0.01, 0.00, 0.56, 0.30],
    [0.04, 0.42, 0.18, 0.05, 0.06, 0.10, 0.15],
])  # fmt: skip
# Any event of a visit after the first. The last column is leaving: the visit ends.
STEP = np.array([
    # awareness, consideration, intent, order, advocacy, trouble, leaving
    [0.71, 0.06, 0.01, 0.00, 0.00, 0.00, 0.22],
    [0.01, 0.81, 0.03, 0.01, 0.00, 0.00, 0.14],
    [0.01, 0.06, 0.61, 0.11, 0.00, 0.03, 0.18],
    [0.01, 0.05, 0.01, 0.01, 0.03, 0.02, 0.87],
    [0.01, 0.06, 0.02, 0.02, 0.05, 0.01, 0.83],
    [0.01, 0.08, 0.02, 0.01, 0.32, 0.01, 0.55],
    [0.01, 0.04, 0.01, 0.01, 0.00, 0.36, 0.57],
    [0.02, 0.10, 0.03, 0.02, 0.02, 0.06, 0.75],
])  # fmt: skip
# First event of a visit when the last one is forgotten, whatever the state.
COLD = np.array([0.52, 0.41, 0.07, 0.00, 0.00, 0.00, 0.00])
# A state is still fresh after d days with probability exp(-d / FRESH_DAYS): intent decays with silence.
FRESH_DAYS = np.array([60.0, 40.0, 12.0, 60.0, 90.0, 90.0, 45.0, 45.0])
MAX_EVENTS_PER_VISIT = 24

CAMPAIGNS = ("brand_search", "spring_sale", "friends", "display")
CATEGORIES = ("kitchen", "garden", "books", "garments")
DEVICE_TYPES = ("desktop", "mobile", "tablet", "phone_app")
DESKTOP, PHONE_APP = 0, 3

# What multiplies the columns of MOVES before a row is scaled to one again.
IN_STORE = np.array([0.0, 1.0, 0.0, 6.0, 0.0, 1.0])
ON_MOBILE = np.array([1.0, 1.0, 0.85, 0.65, 1.0, 1.0])
AFTER_OFFER = np.array([1.0, 1.0, 1.4, 2.5, 1.0, 1.0])
WHEN_DUE = np.array([0.6, 0.8, 2.2, 2.5, 0.7, 1.0])
PER_STEP_BACK = np.array([1.0, 1.0, 0.7, 0.8, 1.0, 1.0])  # at most MOST_STEPS_BACK times
PER_ORDER = np.array([0.9, 1.0, 1.05, 1.15, 1.1, 1.0])  # at most MOST_ORDERS times
MOST_STEPS_BACK, MOST_ORDERS = 3, 4
STYLES = ("browser", "buyer", "fan")
STYLE_MOVES = np.array([
    [1.4, 1.2, 0.5, 0.5, 0.5, 1.0],
    [0.4, 0.8, 2.0, 1.8, 0.8, 1.1],
    [0.9, 1.0, 1.0, 1.0, 2.6, 0.8],
])  # fmt: skip
CAMPAIGN_ORDER = np.array([1.25, 0.9, 1.5, 0.55])

# Visits a day = person's own rate x all of these.
STATE_RATE = np.array([0.8, 1.0, 1.7, 0.8, 1.1, 1.1, 1.6, 1.0])
WEEKDAY_RATE = np.array([
    [1.05, 1.05, 1.05, 1.05, 1.0, 0.9, 0.9],  # Monday to Sunday
    [0.5, 0.5, 0.5, 0.6, 1.3, 1.9, 1.7],  # weekenders
])  # fmt: skip
SEASON = 0.12  # amplitude over a year, highest on 1 December
MAIL_RATE, MAIL_RETURN, MAIL_DAYS = 2.0, 5.0, 7  # for mail lovers, within a week of a message of the brand
DUE_FROM, DUE_TO = 0.8, 1.3  # a regular buyer is due this many personal cycles after the last order
DUE_RATE, EARLY_RATE = 6.0, 0.3

# After a visit a person falls silent with personal probability x state x campaign.
STATE_PAUSE = np.array([1.7, 1.2, 0.8, 0.8, 0.45, 0.4, 1.0, 0.8])
CAMPAIGN_PAUSE = np.array([0.85, 1.6, 0.6, 1.3])
PATIENCE_DAYS, TROUBLE_PAUSE = 2, 0.16  # a day, once trouble stays unanswered for longer than patience
GONE_SHARE = 0.2  # of the silent: for good
RETURN_RATE = 1 / 20  # a day, of those who are not gone for good

APP_LOGIN = 0.85  # a visit, by those who log in at all; on the web it is personal

# What the brand sends, at random among those it may write to (subscribers who have logged in once).
NEWSLETTER_WEEKDAY, NEWSLETTER_SHARE = 1, 0.4  # Tuesday; the others get none that week
OFFER_AFTER_DAYS, OFFER_SHARE, OFFER_PAUSE_DAYS = (1, 3), 0.35, 14  # a day since a visit that ended in intent
OFFER_DAYS = 5  # an offer works on the price-sensitive for so long
WIN_BACK_AFTER_DAYS, WIN_BACK_SHARE = (20, 60), 0.03  # a day
OPEN_SHARE = (0.08, 0.4)  # others and mail lovers, unless silent
# Days until support answers: ANSWER_MIN + a log-normal, then put into office hours; some are never answered.
ANSWER_MIN, ANSWER_MEDIAN, ANSWER_SIGMA, NEVER_ANSWERED = 0.25, 1.2, 1.0, 0.25

# How a move shows: event types and their shares.
SHOWS = {
    "awareness": {"page_view": 0.7, "ad_click": 0.3},
    "consideration": {"product_view": 0.62, "search": 0.2, "compare": 0.1, "wishlist_add": 0.08},
    "intent": {"add_to_cart": 0.7, "checkout": 0.3},
    "order": {"order": 1.0},
    "advocacy": {"review": 0.65, "referral": 0.35},
    "trouble": {"complaint": 0.55, "return_request": 0.45},  # payment_error where it follows intent
}
SHOWS_IN_STORE = {"consideration": "store_visit", "order": "order", "trouble": "return_request"}

# One row for each combination of the four situations; their bits are added in `_scaled`.
_SITUATIONS = np.array([
    IN_STORE ** (bits & 1) * ON_MOBILE ** (bits >> 1 & 1) * AFTER_OFFER ** (bits >> 2 & 1) * WHEN_DUE ** (bits >> 3)
    for bits in range(16)
])  # fmt: skip
_STEPS_BACK = PER_STEP_BACK ** np.arange(MOST_STEPS_BACK + 1)[:, None]
_ORDERS = PER_ORDER ** np.arange(MOST_ORDERS + 1)[:, None]


@dataclass(frozen=True)
class History:
    """What bears on the next move, one value a move."""

    state: np.ndarray  # position in STATES
    silent_days: np.ndarray  # since the last visit; infinite before the first
    in_store: np.ndarray
    is_mobile: np.ndarray
    has_offer: np.ndarray  # price-sensitive, and sent an offer within OFFER_DAYS
    is_due: np.ndarray
    n_steps_back: np.ndarray  # from intent to an earlier stage, since the last order
    n_orders: np.ndarray
    campaign: np.ndarray  # position in CAMPAIGNS
    style: np.ndarray  # position in STYLES


def entry_probabilities(history: History) -> np.ndarray:
    """Return the probabilities of the first move of a visit: MOVES, then an errand."""
    fresh = np.exp(-history.silent_days / FRESH_DAYS[history.state])[:, None]
    weights = fresh * ENTRY[history.state] + (1 - fresh) * COLD
    weights[:, OTHER] *= ~history.in_store
    return _scaled(weights, history)


def step_probabilities(history: History) -> np.ndarray:
    """Return the probabilities of a later move of a visit: MOVES, then leaving."""
    return _scaled(STEP[history.state], history)


def _scaled(weights: np.ndarray, history: History) -> np.ndarray:
    """Multiply `weights` by all that history says and scale each row to one."""
    situation = history.in_store + 2 * history.is_mobile + 4 * history.has_offer + 8 * history.is_due
    factors = STYLE_MOVES[history.style] * _SITUATIONS[situation]
    factors *= _STEPS_BACK[np.minimum(history.n_steps_back, MOST_STEPS_BACK)]
    factors *= _ORDERS[np.minimum(history.n_orders, MOST_ORDERS)]
    factors[:, ORDER] *= CAMPAIGN_ORDER[history.campaign]
    weights = weights.copy()
    weights[:, :OTHER] *= factors
    return weights / weights.sum(axis=1, keepdims=True)


def stage_after(move: np.ndarray, n_orders: np.ndarray) -> np.ndarray:
    """Return the stage a move leads to; `n_orders` counts an order among the moves."""
    stage = np.where(move > ORDER, move + 1, move)
    return np.where((move == ORDER) & (n_orders >= ORDERS_FOR_LOYALTY), LOYALTY, stage)


def is_due(days_since_order: np.ndarray, cycle_days: np.ndarray) -> np.ndarray:
    """Say who would buy again about now; persons without a cycle (NaN) never are."""
    cycles = days_since_order / cycle_days
    return (cycles >= DUE_FROM) & (cycles < DUE_TO)


def season(day_of_year: int) -> float:
    """Return the seasonal factor of the visit rate."""
    return float(1 + SEASON * np.cos(2 * np.pi * (day_of_year - 335) / 365.25))
