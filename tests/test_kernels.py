"""The compiled loops against sums that a person can do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kernels as benchmark
from waymark.kernels import decays, grouping, latest, moves, points, rhythm, tallies
from waymark.kernels.jit import DAY, EVER

ROOT = Path(__file__).parents[1]
N_CLASSES = 3  # the code of none
WINDOWS = (int(DAY), 3 * int(DAY))


def grouped(seed: int, n_persons: int, n: int, *, once: bool = False) -> dict[str, np.ndarray]:
    """Return random events grouped by person, in time order, and a point after some of them, tied ones among them.

    With `once` each person has one point, after some of the events.
    """
    draw = np.random.default_rng(seed)
    n_persons = min(n_persons, n) if once else n_persons
    shares = draw.multinomial(n - n_persons * once, np.ones(n_persons) / n_persons) if n_persons else np.zeros(0, int)
    starts = np.append(0, np.cumsum(shares + once)).astype(np.int64)
    person = np.repeat(np.arange(n_persons), np.diff(starts))
    time = draw.integers(-20, 20, n) * (DAY // 4)
    time = time[np.lexsort((time, person))]
    if once:
        end = starts[:-1] + draw.integers(1, np.diff(starts) + 1)
    else:
        end = np.sort(draw.choice(np.arange(1, n + 1), draw.integers(0, n + 1), replace=True)).astype(np.int64)
    owner = person[end - 1] if n else end
    return {
        "starts": starts,
        "person": person,
        "time": time,
        "classes": draw.integers(0, N_CLASSES + 1, n).astype(np.int32),
        "weight": draw.integers(-500, 500, n),
        "owner": owner,
        "first": starts[owner],
        "end": end,
        "cutoff": (time[end - 1] if n else end) + DAY // 4,
        "number": np.where(draw.random(n) < 0.3, np.nan, draw.normal(size=n)),
    }


seeds, sizes = st.integers(0, 2**32), st.integers(0, 40)
many = given(events=st.builds(grouped, seeds, st.integers(1, 4), sizes))
some = given(events=st.builds(grouped, seeds, st.integers(1, 4), sizes, once=st.booleans()))


def people(events: dict[str, np.ndarray]) -> tuple:
    """Return persons with their points, as kernels take them; the points are the first of two too many."""
    point_starts = np.searchsorted(events["owner"], np.arange(len(events["starts"])))
    return (*(events[k] for k in ("starts", "time")), point_starts, events["end"], events["cutoff"], 2)


def room(events: dict[str, np.ndarray], n: int) -> np.ndarray:
    """Return room for `n` numbers at each point."""
    return np.full((n, len(events["end"]) + 4), -77, np.float32)


def worked_out(events: dict[str, np.ndarray], bases: np.ndarray, numbers: list[tuple]) -> np.ndarray:
    """Return numbers, each given by what it is, two rows of `bases` and its scale."""
    out = room(events, len(numbers))
    columns = (*(np.array(column) for column in zip(*numbers)), np.arange(len(numbers)))
    moves.work_out(events["cutoff"], bases, columns, out, 2)
    return out


def counts_that_forget(events: dict[str, np.ndarray], half_life: int) -> np.ndarray:
    """Return the counts of each class."""
    bases = np.empty((N_CLASSES + 1, len(events["end"])))
    worths, rows = decays.worths(people(events), half_life), np.arange(N_CLASSES + 1)
    which = np.where(rows < N_CLASSES, rows, -1)
    decays.levels(people(events), events["classes"], N_CLASSES, worths, half_life, which, rows, bases)
    return worked_out(events, bases, [(moves.FADES, c, N_CLASSES, half_life) for c in range(N_CLASSES)])


def rhythm_of(events: dict[str, np.ndarray]) -> np.ndarray:
    """Return all numbers of the rhythm, and those that move after them."""
    out, bases = room(events, rhythm.N_NUMBERS), np.empty((rhythm.N_BASES, len(events["end"])))
    rows = np.arange(rhythm.N_NUMBERS), np.arange(rhythm.N_BASES)
    rhythm.rhythm(people(events), events["classes"], rows[0], out, rows[1], bases)
    since = [(moves.DAYS, rhythm.LAST, -1, 0), (moves.DAYS, rhythm.FIRST, -1, 0)]
    moving = worked_out(events, bases, [*since, (moves.OVER, rhythm.LAST, rhythm.MEAN, 0)])
    return np.concatenate([out, moving])


def group(*args: np.ndarray | bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `grouping.group` writes and returns, in the room it asks for."""
    person, index, time = (np.empty(len(args[0]), kind) for kind in (np.int32, np.int32, np.int64))
    return index, time, grouping.group(*args, person, index, time)


def seen(events: dict[str, np.ndarray], p: int, code: int | None = None) -> np.ndarray:
    """Return the positions of the events that a point sees, of one class or of any."""
    i = np.arange(events["first"][p], events["end"][p])
    return i[events["classes"][i] == code] if code is not None else i[events["classes"][i] < N_CLASSES]


def of_each_class(*more: int) -> list[np.ndarray]:
    """Return which numbers go to which rows: those of the classes, each to its own."""
    return [np.append(np.arange(N_CLASSES), more).astype(np.int64), np.arange(N_CLASSES + len(more))]


def assert_read(out: np.ndarray, expected: list[list[float]]) -> None:
    """Compare what was read out, point by point, and look whether anything else was written."""
    found = out[:, 2:-2].T.tolist()
    assert found == [pytest.approx(row, rel=1e-6, abs=1e-6, nan_ok=True) for row in expected]
    assert (out[:, [0, 1, -2, -1]] == -77).all()


# --- grouping -------------------------------------------------------------------------------------------------------


@given(
    person=st.lists(st.integers(0, 5), max_size=30), late=st.lists(st.integers(0, 9), min_size=30), known=st.booleans()
)
def test_events_are_grouped_in_the_order_they_had_or_became_known(person, late, known):
    n = len(person)
    owner, people = np.array(person, np.int32), np.arange(6, dtype=np.int32)[::-1].copy()
    event_time = np.arange(n, dtype=np.int64)
    known_time = event_time + np.array(late[:n], np.int64)
    for array in (event_time, known_time):
        array.flags.writeable = False
    index, time, starts = group(np.arange(n, dtype=np.int32), owner, people, event_time, known_time, known)
    clock = known_time if known else event_time
    assert index.tolist() == sorted(range(n), key=lambda i: (people[person[i]], clock[i], i))
    assert time.tolist() == clock[index].tolist()
    assert np.diff(starts).tolist() == [person.count(5 - p) for p in range(6)]


@pytest.mark.parametrize("n", [10, 1000])
def test_a_history_told_backwards_is_sorted_all_the_same(n):
    event_time = np.arange(n, dtype=np.int64)
    known_time = n + event_time[::-1] // 2  # in pairs
    for array in (event_time, known_time):
        array.flags.writeable = False
    nobody_else = np.zeros(n, np.int32), np.zeros(1, np.int32)
    index, time, _ = group(np.arange(n, dtype=np.int32), *nobody_else, event_time, known_time, True)
    assert index.tolist() == np.lexsort((np.arange(n), known_time)).tolist()
    assert time.tolist() == sorted(known_time)


# --- what is read out at points -------------------------------------------------------------------------------------

# Each class in each window and so far; all of them, and how many there were; one divided by another, and by all.
ASKED = (
    [(c, w, -1) for c in range(N_CLASSES) for w in range(3)]
    + [(N_CLASSES, 2, -1), (N_CLASSES + 1, 2, -1)]
    + [(0, 2, 1), (2, 1, N_CLASSES)]
)


def expected_sums(events: dict[str, np.ndarray], weight: np.ndarray) -> list[list[float]]:
    def added(p: int, code: int, window: int) -> float:
        if code > N_CLASSES:
            return len({*events["classes"][seen(events, p)]})
        i = seen(events, p, None if code == N_CLASSES else code)
        if window < 2:
            i = i[events["time"][i] >= events["cutoff"][p] - WINDOWS[window]]
        return weight[i].sum()

    def ratio(p: int, code: int, window: int, of: int) -> float:
        if of < 0:
            return added(p, code, window)
        whole = added(p, of, 2)
        return added(p, code, window) / whole if whole > 0 else np.nan

    return [[ratio(p, *asked) for asked in ASKED] for p in range(len(events["end"]))]


@pytest.mark.parametrize("weighted", [False, True])
@some
def test_sums_over_windows(weighted, events):
    weight = events["weight"] if weighted else np.zeros(0, np.int64)
    numbers = (*(np.array(column) for column in zip(*ASKED)), np.arange(len(ASKED)))
    begins = tallies.window_starts(people(events), np.array(WINDOWS))
    sums = np.empty((N_CLASSES + 1, len(events["classes"]) + 1), np.int64 if weighted else np.int32)
    tallies.running_sums(events["classes"], N_CLASSES, weight, True, sums)
    out = room(events, len(ASKED))
    tallies.tally_rolling(people(events), begins, sums, numbers, out)
    weights = events["weight"] if weighted else np.ones(len(events["time"]), int)
    # How many classes occurred is asked of counts only.
    asked = [k for k, (code, *_) in enumerate(ASKED) if not (weighted and code > N_CLASSES)]
    expected = [[row[k] for k in asked] for row in expected_sums(events, weights)]
    assert_read(out[asked], expected)
    if len(events["end"]) == len(events["starts"]) - 1 and (np.diff(events["owner"]) == 1).all():
        once = room(events, len(ASKED))
        tallies.tally_once(people(events), begins, events["classes"], N_CLASSES, weight, numbers, once)
        assert once[asked].tobytes() == out[asked].tobytes()


@some
def test_counts_that_forget(events):
    half_life = 2 * int(DAY)
    assert_read(
        counts_that_forget(events, half_life),
        [
            [(0.5 ** ((events["cutoff"][p] - events["time"][seen(events, p, c)]) / half_life)).sum() for c in range(3)]
            for p in range(len(events["end"]))
        ],
    )


@pytest.mark.parametrize("n_half_lives", [10, 1000, 100_000])
def test_what_is_long_past_weighs_nothing_and_breaks_nothing(n_half_lives):
    half_life = int(DAY)
    time = np.array([0, 1, 1 + n_half_lives, 2 + n_half_lives]) * half_life
    who = (np.array([0, 4]), time, np.array([0, 4]), np.arange(1, 5), time + half_life, 0)
    out, bases, worths = np.empty((1, 4), np.float32), np.empty((2, 4)), decays.worths(who, half_life)
    decays.levels(who, np.zeros(4, np.int32), 1, worths, half_life, np.array([0, -1]), np.arange(2), bases)
    moves.work_out(time + half_life, bases, tuple(np.array([[moves.FADES], [0], [1], [half_life], [0]])), out, 0)
    assert out[0].tolist() == pytest.approx([0.5, 0.75, 0.5 + 0.75 * 2.0**-n_half_lives, 0.75], rel=1e-3)


@some
def test_days_since_the_latest(events):
    bases = np.empty((N_CLASSES, len(events["end"])))
    latest.latest_times(people(events), events["classes"], N_CLASSES, *of_each_class(), bases)
    out = worked_out(events, bases, [(moves.DAYS, c, -1, 0) for c in range(N_CLASSES)])
    expected = []
    for p, cutoff in enumerate(events["cutoff"]):
        times = [events["time"][seen(events, p, c)] for c in range(N_CLASSES)]
        expected.append([(cutoff - t[-1]) / DAY if len(t) else np.nan for t in times])
    assert_read(out, expected)


@some
def test_the_latest_two_classes(events):
    out, which = room(events, 2), np.arange(2)
    latest.latest_two(people(events), events["classes"], N_CLASSES, N_CLASSES - 1, which, which, out)
    expected = []
    for p in range(len(events["end"])):
        codes = [np.nan, np.nan, *events["classes"][seen(events, p)].astype(float)][::-1][:2]
        expected.append([np.nan if code == N_CLASSES - 1 else code for code in codes])  # it has no name
    assert_read(out, expected)


@some
def test_the_latest_number_and_the_mean(events):
    out, which = room(events, 2), np.arange(2)
    latest.latest_numbers(people(events), events["number"], which, which, out)
    expected = []
    for first, end in zip(events["first"], events["end"]):
        numbers = events["number"][first:end]
        numbers = numbers[~np.isnan(numbers)]
        expected.append([numbers[-1], numbers.mean()] if len(numbers) else [np.nan] * 2)
    assert_read(out, expected)


@some
def test_the_latest_events_and_the_gaps_between_them(events):
    back = np.arange(1, 4)
    table = np.array([5, 6, 7, np.nan], np.float32)
    types, gaps = room(events, 3), room(events, 3)
    latest.latest_types(people(events), table, events["classes"], back, back - 1, types)
    latest.latest_gaps(people(events), back, back - 1, gaps)
    codes, days = [], []
    for first, end in zip(events["first"], events["end"]):
        codes.append([*table[events["classes"][first:end][::-1][:3]], *[np.nan] * 3][:3])
        days.append([*np.diff(events["time"][first:end])[::-1][:3] / DAY, *[np.nan] * 3][:3])
    assert_read(types, codes)
    assert_read(gaps, days)


@some
def test_the_rhythm_of_activities(events):
    expected = []
    for p, cutoff in enumerate(events["cutoff"]):
        times = events["time"][seen(events, p, 0)]
        gaps = np.diff(times) / DAY
        since = [(cutoff - times[-1]) / DAY, (cutoff - times[0]) / DAY] if len(times) else [np.nan] * 2
        row = [gaps.mean(), gaps.std(), gaps[-1]] if len(gaps) else [np.nan] * 3
        row += [gaps[-1] / gaps.mean() if gaps.sum() > 0 else np.nan, *since]
        expected.append([*row, since[0] / gaps.mean() if gaps.sum() > 0 else np.nan])
    assert_read(rhythm_of(events), expected)


def test_the_weekday_and_the_hour_of_a_cutoff():
    noon = np.array([12 * DAY // 24, 7 * DAY, -DAY // 4])  # Thursday, Thursday, and Wednesday at six in the evening
    out, numbers = (
        np.empty((2, 3), np.float32),
        np.array([[moves.WEEKDAY, moves.HOUR], [-1] * 2, [-1] * 2, [0] * 2, [0, 1]]),
    )
    moves.work_out(noon, np.empty((1, 3)), tuple(numbers), out, 0)
    assert out.tolist() == [[3, 3, 2], [12, 0, 18]]


@pytest.mark.parametrize("days", [0.1, 1 / 3, 7.7, 1234.567])
def test_a_steady_rhythm_has_no_spread(days):
    time = np.arange(20) * round(days * DAY)
    who = (np.array([0, 20]), time, np.array([0, 1]), np.array([20]), time[-1:] + 1, 0)
    out = np.empty((rhythm.N_NUMBERS, 1), np.float32)
    bases = np.arange(rhythm.N_BASES), np.empty((rhythm.N_BASES, 1))
    rhythm.rhythm(who, np.zeros(20, np.int32), np.arange(rhythm.N_NUMBERS), out, *bases)
    assert out[rhythm.SD_GAP].tolist() == [0]
    assert out[rhythm.LAST_OVER_MEAN].tolist() == [1]


@many
def test_points_left_out_change_no_other(events):
    keep = np.arange(0, len(events["end"]), 2)
    fewer = events | {k: events[k][keep] for k in ("owner", "first", "end", "cutoff")}
    outs = []
    for chosen in (events, fewer):
        out = np.concatenate([counts_that_forget(chosen, 2 * int(DAY)), rhythm_of(chosen)])
        outs.append(out[:, 2:-2])
    assert outs[0][:, keep].tobytes() == outs[1].tobytes()


# --- what functions of the user's own may ask -----------------------------------------------------------------------


@many
def test_window_sums_for_a_function_of_ones_own(events):
    windows = np.array([*WINDOWS, EVER])
    category = np.where(events["classes"] < N_CLASSES, events["classes"], -1).astype(np.int32)
    of_points = [events[k] for k in ("first", "end", "cutoff", "time")]
    out = points.window_sums(*of_points, category, events["weight"], windows, N_CLASSES)
    since = points.days_since(*of_points, category, N_CLASSES)
    for p, cutoff in enumerate(events["cutoff"]):
        for c in range(N_CLASSES):
            i = seen(events, p, c)
            for w, window in enumerate(windows):
                assert out[p, w, c] == events["weight"][i[events["time"][i] >= cutoff - window]].sum()
            days = (cutoff - events["time"][i]) / DAY
            assert since[p, c].tolist() == pytest.approx([*days[:1], *days[-1:]] or [np.nan] * 2, nan_ok=True)


# --- compiled once --------------------------------------------------------------------------------------------------

USE_EVERYTHING = """
import pkgutil, sys, tempfile
from pathlib import Path
sys.path[:0] = ["src", "tests"]
import numpy as np
import by_hand, planted, random_logs, test_renewing
from waymark import kernels, models
from waymark.explanations import explain
from waymark.exposure import measure_exposure
from waymark.eventlog import micro, read_log
from waymark.features import build_features, build_training_features
from waymark.ledger import link_identities
from waymark.journeys import build_journeys
log = random_logs.table(random_logs._log(seed=3, n=300))
links = link_identities(log)
for kind in ("snapshots", "every_event"):
    for journey in (by_hand.SHOP, by_hand.ACTIVITIES):
        few, own = {"max_categories": 2, "max_counted": 2}, {"groups": ["custom"], "custom": ["share_weekend"]}
        for more in ({}, few, own):
            chosen = by_hand.settings(points=kind, **more)
            build_training_features(log, links, [random_logs.CUTOFF], random_logs.CUTOFF, journey, chosen)
            build_features(log, links, random_logs.CUTOFF, journey, chosen)
build_journeys(log, links, by_hand.SHOP, random_logs.CUTOFF)
measure_exposure(read_log(log, links), by_hand.SHOP, micro(random_logs.CUTOFF))
with tempfile.TemporaryDirectory() as folder:
    for groups in (list(by_hand.GROUPS), ["counts", "values"]):
        home = Path(folder) / groups[-1]
        home.mkdir()
        nights = test_renewing.Nights(home, groups=groups)
        nights.night(*(nights.event(f"c{i:02}", "2024-03-25", f"d{i % 9}") for i in range(9)))
        nights.make("2024-04-01")
        nights.night(nights.event("c03", "2024-04-01"), nights.event("", "2024-03-31", "d3"))
        nights.make("2024-04-02")
for target in ("next_stage", "churn"):
    rows = models.labelled(*planted.tables(), target)
    model = models.fit(models.make("lightgbm", {"n_estimators": 3}, planted.CATALOGUE, 7, target=target), rows)
    explain(model, rows, rows["label"])
for module in pkgutil.iter_modules(kernels.__path__, "waymark.kernels."):
    for name, kernel in vars(sys.modules.get(module.name, kernels)).items():
        if hasattr(kernel, "stats"):
            for signature, n in kernel.stats.cache_misses.items():
                print(name, signature)
            assert "NamedTuple" not in str(kernel.signatures), name
"""


@pytest.mark.slow
def test_after_the_warm_up_nothing_is_compiled():
    """No first run pays for a type of array that the warm-up forgot."""
    subprocess.run([sys.executable, "src/run.py", "waymark.kernels"], cwd=ROOT, check=True, capture_output=True)
    done = subprocess.run([sys.executable, "-c", USE_EVERYTHING], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == ""


def test_the_benchmark_prints_its_table():
    page = benchmark.show(3000)
    assert "every_event, all shipped: 215 features" in page
    assert page.count("all of it") == 4
    assert page.count("the same bytes") == 2
