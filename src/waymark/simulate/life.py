"""What persons and the brand do under the law, one day after the other."""

from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from waymark.simulate import journal, law, people
from waymark.simulate.journal import TYPE, Journal

DAY = 86_400  # seconds
OFFICE_OPENS, OFFICE_HOURS = 8 * 3600, 10
# Nobody visits between 23:00 and 6:00, so that a long visit ends before the next day's begins.
_HOURS = np.array([0] * 6 + [1, 3, 4, 4, 4, 4, 5, 5, 4, 4, 5, 6, 8, 10, 11, 9, 5, 0])
_STORE_HOURS = np.array([0] * 9 + [2, 4, 5, 5, 4, 4, 5, 6, 7, 5, 2] + [0] * 4)
_CATEGORY_VALUE = np.array([1.1, 1.4, 0.5, 1.0])


@dataclass
class _Visits:
    """The visits of one day, one value a visit; `now` and `is_known` change while they last."""

    person: np.ndarray
    number: np.ndarray
    now: np.ndarray  # seconds since the start
    in_store: np.ndarray
    device: np.ndarray  # -1 in a store
    category: np.ndarray
    login_step: np.ndarray  # -1 where there is none
    is_known: np.ndarray  # events carry the customer id


class Life:
    """All persons on their way through the days; `journal` and `pauses` hold what happened so far."""

    def __init__(self, persons: pd.DataFrame, devices: pd.DataFrame, slots: np.ndarray, rng: np.random.Generator):
        """Begin with everybody unknown to the brand."""
        n = len(persons)
        self.rng = rng
        self.journal = Journal()
        self.trait = {name: persons[name].to_numpy() for name in persons.columns}
        self.own_category = _positions(persons["category"], law.CATEGORIES)
        self.has_handle = persons["handle"].notna().to_numpy()
        self.device_type = _positions(devices["device_type"], law.DEVICE_TYPES)
        self.style = _positions(persons["style"], law.STYLES)
        self.slots = slots
        self.state = np.zeros(n, dtype=np.int64)
        self.campaign = _positions(persons["first_campaign"], law.CAMPAIGNS)
        self.n_orders, self.n_steps_back = np.zeros((2, n), dtype=np.int64)
        self.is_paused, self.is_gone, self.has_account, self.ticket_is_known = np.zeros((4, n), dtype=bool)
        self.last_visit, self.last_order, self.last_mail, self.last_offer = np.full((4, n), -np.inf)
        self.ticket_day, self.answer_due = np.full((2, n), np.inf)
        self.ticket_device = np.full(n, -1)
        self.n_visits = 0
        self._pauses: list[tuple[np.ndarray, int, str, np.ndarray]] = []  # who, day, cause, for good
        self._returns: list[tuple[np.ndarray, int]] = []

    def live(self, start: date, days: int) -> None:
        """Let `days` days pass."""
        for day in range(days):
            today = start + timedelta(days=day)
            self._support_answers(day)
            self._brand_writes(day, today)
            self._lose_patience(day)
            back = self._return(day)
            visits = self._begin_visits(day, np.flatnonzero(self._comes(day, today) | back))
            self._walk(day, visits)
            self._fall_silent(day, visits.person)

    @property
    def pauses(self) -> pd.DataFrame:
        """One row a silence: person, days it began and ended (null while it lasts), cause, whether it is for good."""
        keys = ["person", "nth"]
        paused = pd.DataFrame(self._pauses, columns=["person", "paused_day", "cause", "is_gone"])
        paused = paused.explode(["person", "is_gone"]).dropna(subset="person")
        returned = pd.DataFrame(self._returns, columns=["person", "returned_day"]).explode("person").dropna()
        paused["nth"] = paused.groupby("person").cumcount()
        returned["nth"] = returned.groupby("person").cumcount()
        both = paused.merge(returned, how="left", on=keys).sort_values(keys, ignore_index=True)
        return both.astype({"person": "int64", "is_gone": "bool", "returned_day": "Int64"})

    def _chance(self, probability: float | np.ndarray) -> np.ndarray:
        return self.rng.random(len(self.state)) < probability

    # --- the brand --------------------------------------------------------------------------------------------------

    def _support_answers(self, day: int) -> None:
        """Answer what fell due yesterday; it counts from today."""
        who = np.flatnonzero(self.answer_due < day * DAY)
        self.journal.add(
            who,
            self.answer_due[who],
            event_type=TYPE["support_answer"],
            feed=journal.CALL_CENTRE,
            device=self.ticket_device[who],
            is_known=self.ticket_is_known[who],
        )
        self.answer_due[who] = np.inf
        self.state[who[self.state[who] == law.TROUBLE]] = law.ANSWERED

    def _brand_writes(self, day: int, today: date) -> None:
        """Send offers, win-back messages and newsletters before anybody is awake."""
        reachable = self.trait["is_subscribed"] & self.has_account
        silent_days = day - self.last_visit
        offer = reachable & (self.state == law.INTENT) & _within(silent_days, law.OFFER_AFTER_DAYS)
        offer &= (day - self.last_offer > law.OFFER_PAUSE_DAYS) & self._chance(law.OFFER_SHARE)
        win_back = reachable & ~offer & _within(silent_days, law.WIN_BACK_AFTER_DAYS)
        win_back &= self._chance(law.WIN_BACK_SHARE)
        newsletter = reachable & ~offer & ~win_back & self._chance(law.NEWSLETTER_SHARE)
        newsletter &= today.weekday() == law.NEWSLETTER_WEEKDAY
        self.last_offer[offer] = day
        for mailing, is_sent in (("newsletter", newsletter), ("cart_offer", offer), ("win_back", win_back)):
            self._send(day, mailing, np.flatnonzero(is_sent))

    def _send(self, day: int, mailing: str, who: np.ndarray) -> None:
        """Send one mailing; some of those who are not silent open it the same day."""
        message = {
            "feed": journal.EMAIL,
            "is_known": True,
            "mailing": journal.MAILINGS.index(mailing),
        }
        sent = TYPE["offer_sent" if mailing == "cart_offer" else "email_sent"]
        second = day * DAY + 5 * 3600 + self.rng.integers(0, 3600, len(who))
        self.journal.add(who, second, event_type=sent, **message)
        self.last_mail[who] = day
        share = np.array(law.OPEN_SHARE)[self.trait["is_mail_lover"][who].astype(int)]
        opens = (self.rng.random(len(who)) < share) & ~self.is_paused[who]
        second = day * DAY + self.rng.integers(6 * 3600, 22 * 3600, len(who))
        self.journal.add(who[opens], second[opens], event_type=TYPE["email_open"], **message)

    # --- silence ----------------------------------------------------------------------------------------------------

    def _is_warmed(self, day: int) -> np.ndarray:
        """Say which mail lovers the brand has written to within a week."""
        return self.trait["is_mail_lover"] & (day - self.last_mail < law.MAIL_DAYS)

    def _comes(self, day: int, today: date) -> np.ndarray:
        """Draw who visits today, of those who have arrived and are not silent."""
        cycle, since_order = self.trait["cycle_days"], day - self.last_order
        rate = self.trait["visits_per_day"] * law.STATE_RATE[self.state] * law.season(today.timetuple().tm_yday)
        rate *= law.WEEKDAY_RATE[self.trait["is_weekender"].astype(int), today.weekday()]
        rate *= np.where(self._is_warmed(day), law.MAIL_RATE, 1.0)
        rate *= np.where(law.is_due(since_order, cycle), law.DUE_RATE, 1.0)
        rate *= np.where(since_order < law.DUE_FROM * cycle, law.EARLY_RATE, 1.0)
        arrived = self.trait["arrival_day"] < day
        comes = self._chance(-np.expm1(-rate)) & ~self.is_paused & arrived
        return comes | (self.trait["arrival_day"] == day)

    def _lose_patience(self, day: int) -> None:
        """Let some of those go silent whom support has left waiting."""
        waits = (self.state == law.TROUBLE) & ~self.is_paused & (day - self.ticket_day > law.PATIENCE_DAYS)
        self._pause(day, np.flatnonzero(waits & self._chance(law.TROUBLE_PAUSE)), "unanswered")

    def _fall_silent(self, day: int, who: np.ndarray) -> None:
        """Let some of today's visitors go silent."""
        chance = self.trait["pause_probability"][who] * law.STATE_PAUSE[self.state[who]]
        chance *= law.CAMPAIGN_PAUSE[self.campaign[who]]
        self._pause(day, who[self.rng.random(len(who)) < chance], "visit")

    def _pause(self, day: int, who: np.ndarray, cause: str) -> None:
        self.is_paused[who] = True
        self.is_gone[who] = self.rng.random(len(who)) < law.GONE_SHARE
        self._pauses.append((who, day, cause, self.is_gone[who]))

    def _return(self, day: int) -> np.ndarray:
        """Draw who comes back today."""
        chance = law.RETURN_RATE * np.where(self._is_warmed(day), law.MAIL_RETURN, 1.0)
        back = self.is_paused & ~self.is_gone & self._chance(chance)
        self.is_paused &= ~back
        self._returns.append((np.flatnonzero(back), day))
        return back

    # --- visits -----------------------------------------------------------------------------------------------------

    def _begin_visits(self, day: int, who: np.ndarray) -> _Visits:
        """Draw where and when today's visits begin, about which products, and who will log in."""
        rng, n = self.rng, len(who)
        in_store = self.has_account[who] & (rng.random(n) < self.trait["store_probability"][who])
        hour = np.where(in_store, _draw_hours(_STORE_HOURS, n, rng), _draw_hours(_HOURS, n, rng))
        n_slots = (self.slots[who] >= 0).sum(axis=1)
        slot = np.minimum(np.searchsorted(np.cumsum(people.SLOT_SHARE), rng.random(n)), n_slots - 1)
        device = np.where(in_store, -1, self.slots[who, slot])
        is_app = self.device_type[device] == law.PHONE_APP
        login = np.where(is_app & self.trait["joins"][who], law.APP_LOGIN, self.trait["login_probability"][who])
        logs_in = ~in_store & (rng.random(n) < login)
        is_own = rng.random(n) < 0.7
        self.n_visits += n
        return _Visits(
            person=who,
            number=self.n_visits - n + np.arange(n),
            now=day * DAY + hour * 3600 + rng.integers(0, 3600, n),
            in_store=in_store,
            device=device,
            category=np.where(is_own, self.own_category[who], rng.integers(0, len(law.CATEGORIES), n)),
            login_step=np.where(logs_in, rng.integers(0, 3, n), -1),
            is_known=in_store.copy(),
        )

    def _walk(self, day: int, visits: _Visits) -> None:
        """Draw the events of the visits until everybody has left."""
        active = np.arange(len(visits.person))
        for step in range(law.MAX_EVENTS_PER_VISIT):
            self._log_in(visits, active[visits.login_step[active] == step])
            history = self._history(day, visits, active)
            chances = law.step_probabilities(history) if step else law.entry_probabilities(history)
            move = (self.rng.random(len(active))[:, None] > chances.cumsum(axis=1)[:, :-1]).sum(axis=1)
            goes_on = (move != law.OTHER) | (step == 0)
            active, move = active[goes_on], move[goes_on]
            if not len(active):
                break
            past = {f.name: getattr(history, f.name)[goes_on] for f in fields(history)}
            self._act(day, visits, active, move, {"kind": 2 if step else 1, "move": move, **past})
        self.last_visit[visits.person] = day

    def _history(self, day: int, visits: _Visits, active: np.ndarray) -> law.History:
        who, in_store = visits.person[active], visits.in_store[active]
        return law.History(
            state=self.state[who],
            silent_days=day - self.last_visit[who],
            in_store=in_store,
            is_mobile=~in_store & (self.device_type[visits.device[active]] != law.DESKTOP),
            has_offer=self.trait["is_price_sensitive"][who] & (day - self.last_offer[who] < law.OFFER_DAYS),
            is_due=law.is_due(day - self.last_order[who], self.trait["cycle_days"][who]),
            n_steps_back=self.n_steps_back[who],
            n_orders=self.n_orders[who],
            campaign=self.campaign[who],
            style=self.style[who],
        )

    def _log_in(self, visits: _Visits, at: np.ndarray) -> None:
        """Log in, which makes the account the first time; later events of the visit carry the customer id."""
        if not len(at):
            return
        visits.is_known[at] = True
        self.has_account[visits.person[at]] = True
        self._note(visits, at, event_type=TYPE["login"], feed=self._device_feed(visits.device[at]))

    def _act(self, day: int, visits: _Visits, at: np.ndarray, move: np.ndarray, drawn: dict[str, Any]) -> None:
        """Do the moves that were drawn: change the state and leave an event."""
        who, before = visits.person[at], drawn["state"]
        is_order, is_errand = move == law.ORDER, move == law.OTHER
        self.n_orders[who[is_order]] += 1
        after = np.where(is_errand, before, law.stage_after(move, self.n_orders[who]))
        event_type = self._event_types(visits.in_store[at], move, before)
        value_cents = np.full(len(at), -1)
        value_cents[is_order] = self._order_values(who[is_order], visits.category[at[is_order]])
        has_category = ~is_errand & (move != law.AWARENESS)
        clicks = who[event_type == TYPE["ad_click"]]
        self.campaign[clicks] = self.rng.integers(0, len(law.CAMPAIGNS), len(clicks))
        drawn |= {
            "event_type": event_type,
            "stage": np.where(is_errand, -1, after),
            "value_cents": value_cents,
            "category": np.where(has_category, visits.category[at], -1),
            "seen_campaign": self.campaign[who],
        }
        self._note(visits, at, feed=self._feeds(visits, at, event_type), **drawn)
        self.state[who] = after
        self.last_order[who[is_order]] = day
        self.n_steps_back[who[(before == law.INTENT) & (after < law.INTENT)]] += 1
        self.n_steps_back[who[is_order]] = 0
        self._send_parcels(visits, at[is_order & ~visits.in_store[at]])
        self._open_tickets(day, visits, at[(after == law.TROUBLE) & (before != law.TROUBLE)])

    def _order_values(self, who: np.ndarray, category: np.ndarray) -> np.ndarray:
        usual = self.trait["basket_cents"][who] * _CATEGORY_VALUE[category]
        return np.rint(usual * self.rng.lognormal(0, 0.35, len(who))).astype(np.int64)

    def _note(self, visits: _Visits, at: np.ndarray, **values: Any) -> None:
        """Write down one event of each of the visits `at`, and let a minute or so pass."""
        self.journal.add(
            visits.person[at],
            visits.now[at],
            device=visits.device[at],
            is_known=visits.is_known[at],
            visit=visits.number[at],
            **values,
        )
        visits.now[at] += 1 + np.minimum(self.rng.exponential(70, len(at)), 600).astype(np.int64)

    def _send_parcels(self, visits: _Visits, at: np.ndarray) -> None:
        if not len(at):
            return
        self.journal.add(
            visits.person[at],
            visits.now[at] + self.rng.integers(2 * DAY, 5 * DAY, len(at)),
            event_type=TYPE["parcel_delivered"],
            feed=journal.LOGISTICS,
            device=visits.device[at],
            is_known=visits.is_known[at],
        )

    def _open_tickets(self, day: int, visits: _Visits, at: np.ndarray) -> None:
        if not len(at):
            return
        who = visits.person[at]
        wait = law.ANSWER_MIN + self.rng.lognormal(np.log(law.ANSWER_MEDIAN), law.ANSWER_SIGMA, len(at))
        due_day, due_second = np.divmod(np.floor(visits.now[at] + wait * DAY), DAY)
        due = due_day * DAY + OFFICE_OPENS + due_second * OFFICE_HOURS // 24
        self.ticket_day[who] = day
        self.answer_due[who] = np.where(self.rng.random(len(at)) < law.NEVER_ANSWERED, np.inf, due)
        self.ticket_device[who] = visits.device[at]
        self.ticket_is_known[who] = self.has_account[who]

    def _event_types(self, in_store: np.ndarray, move: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Draw the event types by which the moves show."""
        is_errand = move == law.OTHER
        row = np.where(is_errand, 0, move)
        nth = (self.rng.random(len(move))[:, None] >= journal.SHOWN_FROM[row]).sum(axis=1)
        event_type = np.where(in_store, journal.SHOWN_IN_STORE[row], journal.SHOWN[row, nth])
        failed = (move == law.MOVES.index("trouble")) & (before == law.INTENT) & ~in_store
        event_type[failed] = TYPE["payment_error"]
        errand = np.where(before >= law.TROUBLE, TYPE["support_call"], TYPE["order_status"])
        return np.where(is_errand, errand, event_type)

    def _feeds(self, visits: _Visits, at: np.ndarray, event_type: np.ndarray) -> np.ndarray:
        """Return the feed each event is delivered by."""
        feed = np.where(visits.in_store[at], journal.STORE, self._device_feed(visits.device[at]))
        luck, has_handle = self.rng.random(len(at)), self.has_handle[visits.person[at]]
        complains, refers = event_type == TYPE["complaint"], event_type == TYPE["referral"]
        calls = (event_type == TYPE["support_call"]) | (complains & (luck < 0.35))
        feed[calls] = journal.CALL_CENTRE
        feed[has_handle & ((complains & (luck > 0.6)) | (refers & (luck > 0.4)))] = journal.SOCIAL
        return feed

    def _device_feed(self, device: np.ndarray) -> np.ndarray:
        return np.where(self.device_type[device] == law.PHONE_APP, journal.APP, journal.WEB)


def _positions(values: pd.Series, names: tuple[str, ...]) -> np.ndarray:
    return pd.Categorical(values, categories=names).codes.astype(np.int64)


def _within(days: np.ndarray, bounds: tuple[int, int]) -> np.ndarray:
    return (days >= bounds[0]) & (days <= bounds[1])


def _draw_hours(weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(weights), n, p=weights / weights.sum())
