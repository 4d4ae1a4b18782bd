"""Persons, their traits and their devices."""

import numpy as np
import pandas as pd

from waymark.simulate import law

N_SLOTS = 3  # devices a person can use
SLOT_SHARE = np.array([0.55, 0.3, 0.15])  # of the visits, by slot


def draw_persons(n: int, days: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw `n` persons with the traits that the law reads; `arrival_day` is that of their first visit."""
    early = rng.random(n) < 0.6
    arrival = np.where(early, rng.integers(0, min(45, days), n), rng.integers(0, days, n))
    joins = rng.random(n) < 0.8
    campaign = rng.choice(len(law.CAMPAIGNS), n, p=[0.4, 0.25, 0.1, 0.25])
    is_regular = rng.random(n) < 0.5
    cycle = np.clip(rng.lognormal(np.log(32), 0.35, n), 14, 75)
    has_handle = rng.random(n) < 0.3
    return pd.DataFrame({
        "person": [f"p{i:06d}" for i in range(n)],
        "customer_id": [f"c{number}" for number in 100_000 + rng.permutation(n)],
        "arrival_day": arrival,
        "first_campaign": np.array(law.CAMPAIGNS)[campaign],
        "visits_per_day": 0.008 + rng.gamma(1.3, 0.04, n),
        "style": np.array(law.STYLES)[rng.choice(len(law.STYLES), n, p=[0.45, 0.4, 0.15])],
        "pause_probability": rng.beta(1.2, 14, n),
        "cycle_days": np.where(is_regular, cycle, np.nan),
        "joins": joins,  # others never log in
        "login_probability": np.where(joins, rng.beta(2, 3, n), 0.0),
        "is_subscribed": joins & (rng.random(n) < 0.75),
        "is_mail_lover": rng.random(n) < np.where(campaign == 1, 0.2, 0.4),
        "is_price_sensitive": rng.random(n) < np.where(campaign == 1, 0.7, 0.3),
        "is_weekender": rng.random(n) < 0.35,
        "store_probability": np.where(joins, rng.beta(1, 5, n), 0.0),
        "category": np.array(law.CATEGORIES)[rng.choice(len(law.CATEGORIES), n, p=[0.3, 0.2, 0.2, 0.3])],
        "basket_cents": rng.lognormal(np.log(4500), 0.5, n).round().astype(np.int64),
        "handle": np.where(has_handle, [f"@fan{number}" for number in 100_000 + rng.permutation(n)], None),
        "is_handle_connected": has_handle & (rng.random(n) < 0.5),  # posts carry the customer id too
    })  # fmt: skip


def draw_devices(n: int, shared_share: float, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw devices and who uses them.

    Returns
    -------
    devices
        One row a device: `anonymous_id`, `device_type`, `owner` and `second_user` (positions of persons; -1 for none).
        As many as `shared_share` of the devices have a second user.
    slots
        Positions of the devices of each person, one column a slot, -1 where a slot is empty.
    """
    n_own = rng.choice([1, 2, 3], n, p=[0.5, 0.35, 0.15])
    owner = np.repeat(np.arange(n), n_own)
    slot = np.arange(len(owner)) - np.repeat(np.cumsum(n_own) - n_own, n_own)
    is_app = (slot > 0) & (rng.random(len(owner)) < 0.55)
    kind = np.where(is_app, 3, rng.choice([0, 1, 2], len(owner), p=[0.55, 0.37, 0.08]))
    slots = np.full((n, N_SLOTS), -1)
    slots[owner, slot] = np.arange(len(owner))

    second = np.full(len(owner), -1)
    room = np.flatnonzero(n_own < N_SLOTS)
    n_shared = min(round(shared_share * len(owner)), len(room))
    while True:
        device, user = rng.choice(len(owner), n_shared, replace=False), rng.permutation(room)[:n_shared]
        if not (owner[device] == user).any():
            break
    second[device] = user
    slots[user, n_own[user]] = device
    number = rng.choice(16**8, len(owner), replace=False)
    devices = pd.DataFrame({
        "anonymous_id": [f"{'ai'[0] if app else 'w'}-{x:08x}" for app, x in zip(is_app, number)],
        "device_type": np.array(law.DEVICE_TYPES)[kind],
        "owner": owner,
        "second_user": second,
    })  # fmt: skip
    return devices, slots
