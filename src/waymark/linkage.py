"""Customer records that are likely of one person, as links for the ledger; optional, through splink.

The model is that of Fellegi and Sunter: each pair of records is compared column by column, and each outcome of a
comparison speaks for or against one person by how much more often it occurs in pairs of one person (m) than in pairs
of two (u). Nobody labels pairs: u is counted in pairs drawn at random, and m and the share of pairs that match are
learnt by expectation maximisation.

Two clocks hold here too. All that is learnt (m, u, how common a value is, which columns are compared first) comes from
the records known before `learn_until`, and no link counts sooner than that; each later record is judged by this same
model. A record that comes tomorrow changes no link that was known today.

References
----------
Fellegi and Sunter (1969), A theory for record linkage, JASA 64. Linacre et al. (2022), Splink: free software for
probabilistic record linkage at scale, IJPDS 7(3).
"""

from __future__ import annotations

import logging
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from waymark.config import LinkageConfig, RecordColumn
from waymark.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from splink import Linker

MAX_SAMPLED_PAIRS = 10_000_000  # for u, and for each round of learning m a tenth of it
MAX_ROUNDS = 1_000  # of expectation maximisation over the share of pairs that match
DECIMALS = 6  # of a probability
_BY_FREQUENCY = ("name", "email", "exact")  # equal values of these say more, the rarer they are
_ROW = "row"  # splink's name of a record: its place in the sorted records


def link_customers(settings: LinkageConfig | None, folder: Path) -> pd.DataFrame | None:
    """Return the likely pairs of the customer records below `folder`; None where linkage is off."""
    return None if settings is None else link_records(read_records(settings, folder), settings)


def read_records(settings: LinkageConfig, folder: Path = Path()) -> pd.DataFrame:
    """Read the file of records below `folder`: the columns that the settings name, of a CSV all as text.

    Raises
    ------
    InputError
        There is no such file, it cannot be read, or it lacks a column.
    """
    path = folder / settings.records
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            records = pd.read_parquet(path)
        else:
            records = pd.read_csv(path, dtype="string", keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; set linkage.records to a Parquet or CSV file") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet (.parquet, .pq) or CSV ({str(error)[:120]})") from None
    wanted = [c for c in (settings.id, settings.known_time, *settings.columns) if c is not None]
    missing = [c for c in wanted if c not in records]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, records))}")
    return records[list(dict.fromkeys(wanted))]


def link_records(records: pd.DataFrame, settings: LinkageConfig, *, seed: int = 0) -> pd.DataFrame:
    """Return the pairs of customers that are one person at least as likely as the threshold.

    Parameters
    ----------
    records
        One row a record of a customer, or a version of one, in any order, with the columns that the settings name.
    seed
        Of the draw of pairs that u is counted in, where there are too many.

    Returns
    -------
    pandas.DataFrame
        Rows of `schema.LINKS`, of kind `linkage`, by key. A link is known when both records and the model are; of
        several versions of two customers the first that reach the threshold count.

    Raises
    ------
    InputError
        The extra is not installed, a row has no identifier or no time, or there is nothing to learn from.
    """
    _splink()  # so that a missing extra is told before any work
    rows = _prepared(records, settings)
    kinds = {_inner(settings, column): kind for column, kind in settings.columns.items()}
    learnt_from = rows[rows["known_time"] < settings.learn_until].reset_index(drop=True)
    blocks = _blocks(learnt_from[list(kinds)], settings)
    if not blocks:
        raise InputError(
            f"linkage: among the {len(learnt_from):,} records known before learn_until "
            f"({settings.learn_until:%Y-%m-%d %H:%M}) no two agree in any compared column, so there is nothing to "
            "learn from; set a later learn_until or compare other columns"
        )
    model = _learn(learnt_from, kinds, blocks, seed)
    prior_odds = _prior_odds(_weigh(model, learnt_from, kinds)["weight"].to_numpy(), len(learnt_from))
    _check(model.misc.save_model_to_json()["comparisons"], prior_odds, len(learnt_from))
    pairs = _weigh(model, rows, kinds)
    pairs["probability"] = _probability(pairs["weight"].to_numpy(), prior_odds).round(DECIMALS)
    return _links(rows, pairs, settings)


def _inner(settings: LinkageConfig, column: str) -> str:
    """Return what we call a compared column: names of users' columns may be no names in SQL."""
    return f"c{list(settings.columns).index(column)}"


def _prepared(records: pd.DataFrame, settings: LinkageConfig) -> pd.DataFrame:
    """Return each version of each customer's record once, sorted, its compared values in one spelling."""
    ids = records[settings.id].astype("string").str.strip()
    if (ids.isna() | ids.eq("")).any():
        raise InputError(f"{settings.records}: {int((ids.isna() | ids.eq('')).sum()):,} rows have no {settings.id}")
    rows = pd.DataFrame({"id": "customer:" + ids, "known_time": _known_times(records, settings)})
    for column, kind in settings.columns.items():
        rows[_inner(settings, column)] = _spelt(records[column], kind)
    compared = list(rows.columns[2:])
    rows = rows.sort_values(["id", "known_time", *compared], kind="stable", na_position="last")
    return rows.drop_duplicates(["id", *compared]).reset_index(drop=True)


def _known_times(records: pd.DataFrame, settings: LinkageConfig) -> pd.Series:
    delay = pd.Timedelta(minutes=settings.known_delay_minutes)
    if settings.known_time is None:
        times = pd.Series(settings.delivered_time, index=records.index)
    else:
        given = records[settings.known_time]
        is_time = pd.api.types.is_datetime64_any_dtype(given.dtype)
        times = pd.to_datetime(given, utc=True, errors="coerce", format=None if is_time else "ISO8601")
        if times.isna().any():
            first = given[times.isna()].iloc[0]
            raise InputError(
                f"{settings.records}: {int(times.isna().sum()):,} rows have no {settings.known_time} written as "
                f"ISO 8601 (the first holds {str(first)[:40]!r})"
            )
    return times.astype("datetime64[us, UTC]") + delay


def _spelt(values: pd.Series, kind: RecordColumn) -> pd.Series:
    """Return texts in small letters with single spaces, dates as 1999-12-31 where they were 19991231; else null."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values.dt.strftime("%Y-%m-%d").astype("string")
    texts = values.astype("string").str.lower().str.split().str.join(" ")
    if kind == "date":
        texts = texts.str.replace(r"^(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", regex=True)
    return texts.where(texts.ne("").fillna(False))


def _blocks(rows: pd.DataFrame, settings: LinkageConfig) -> list[list[str]]:
    """Return the given blocking rules, or the smallest sets of columns that few enough pairs of records agree in."""
    if settings.blocking:
        return [b for b in ([_inner(settings, c) for c in rule] for rule in settings.blocking) if _n_pairs(rows, b)]
    blocks: list[list[str]] = []
    for size in (1, 2, 3):
        for columns in map(list, combinations(rows, size)):
            is_covered = any(set(block) <= set(columns) for block in blocks)
            if not is_covered and 0 < _n_pairs(rows, columns) <= settings.max_pairs_per_record * len(rows):
                blocks.append(columns)
    return blocks


def _n_pairs(rows: pd.DataFrame, columns: list[str]) -> int:
    n = rows.dropna(subset=columns).groupby(columns, sort=False).size().to_numpy()
    return int((n * (n - 1)).sum()) // 2


def _probability(weights: np.ndarray, prior_odds: float) -> np.ndarray:
    from scipy.special import expit  # in a tenth of a second, which every night without linkage would pay

    return expit(np.log(2) * weights + np.log(prior_odds))


def _prior_odds(weights: np.ndarray, n_rows: int) -> float:
    """Return the odds that two records drawn at random are of one person; 0 where none are.

    Expectation maximisation over all pairs, m and u as they are; pairs that no blocking rule gives count as of two
    persons. (splink's own estimate needs blocks in which some pairs match and some do not.)
    """
    n_pairs = n_rows * (n_rows - 1) / 2
    n_matches = 1.0
    for _ in range(MAX_ROUNDS):
        before, n_matches = n_matches, _probability(weights, n_matches / (n_pairs - n_matches)).sum()
        if n_matches < 1e-6:
            return 0.0
        if abs(n_matches - before) < 1e-9 * before:
            break
    return float(n_matches / (n_pairs - n_matches))


def _links(rows: pd.DataFrame, pairs: pd.DataFrame, settings: LinkageConfig) -> pd.DataFrame:
    """Return `pairs` of `rows` that reach the threshold as links between customers."""
    pairs = pairs[pairs["probability"] >= settings.threshold]
    left, right = (rows.iloc[pairs[f"{_ROW}_{side}"]].reset_index(drop=True) for side in "lr")
    known = pd.concat([left["known_time"], right["known_time"]], axis=1).max(axis=1)
    links = pd.DataFrame(
        {
            "id_a": left["id"].astype("str"),  # the rows are sorted, and splink keeps their order in each pair
            "id_b": right["id"].astype("str"),
            "kind": "linkage",
            "known_time": known.clip(lower=pd.Timestamp(settings.learn_until)).astype("datetime64[us, UTC]"),
            "source": settings.source,
            "probability": pairs["probability"].to_numpy("float64"),
        }
    )
    links = links[links["id_a"] != links["id_b"]]
    links = links.sort_values(["id_a", "id_b", "known_time", "probability"], ascending=[True, True, True, False])
    return links.drop_duplicates(["id_a", "id_b"]).reset_index(drop=True)


# --- splink ---------------------------------------------------------------------------------------------------------


def _learn(rows: pd.DataFrame, kinds: dict[str, RecordColumn], blocks: list[list[str]], seed: int) -> Linker:
    """Return a linker over `rows` with its model fitted; each blocking rule teaches the columns it does not hold."""
    splink = _splink()
    rules = [splink.block_on(*block) for block in blocks]
    settings = splink.SettingsCreator(
        link_type="dedupe_only",
        comparisons=[_comparison(column, kind) for column, kind in kinds.items()],
        blocking_rules_to_generate_predictions=rules,
        unique_id_column_name=_ROW,
        retain_matching_columns=False,
    )
    linker, _ = _linker(rows, settings)
    linker.training.estimate_u_using_random_sampling(max_pairs=MAX_SAMPLED_PAIRS, seed=seed)
    for rule in rules:
        _teach(linker, rule)
    return linker


def _teach(linker: Linker, rule: Any) -> None:
    """Learn from the pairs that a blocking rule gives, unless none of them looks like one person."""
    try:
        linker.training.estimate_parameters_using_expectation_maximisation(rule, max_pairs=MAX_SAMPLED_PAIRS / 10)
    except ValueError as error:
        if "below the minimum allowed value" not in str(error):  # how splink says that the matches went to nothing
            raise


def _check(comparisons: list[dict[str, Any]], prior_odds: float, n_rows: int) -> None:
    """Raise `InputError` unless two records that agree in all columns are more likely one person than two.

    Where hardly any record has a second of the same person, expectation maximisation finds something else.
    """
    same = [comparison["comparison_levels"][1] for comparison in comparisons]  # after the level of nulls
    ratios = [level["m_probability"] / level["u_probability"] for level in same if "m_probability" in level]
    if not 0 < 1 / np.prod(ratios) < prior_odds < 1:
        raise InputError(
            f"linkage: the {n_rows:,} records known before learn_until hold too few of one person to learn from: even "
            "two that agree in every column would not be linked; set a later learn_until, compare more columns or "
            "switch linkage off"
        )


def _weigh(model: Linker, rows: pd.DataFrame, kinds: dict[str, RecordColumn]) -> pd.DataFrame:
    """Return the pairs of `rows` that the blocking rules give, by place, and their weight: log2 of m / u in all."""
    learnt = model.misc.save_model_to_json()
    linker, database = _linker(rows, learnt)
    for column in (c for c, kind in kinds.items() if kind in _BY_FREQUENCY):
        frequencies = model.table_management.compute_tf_table(column).as_pandas_dataframe()
        table = database.register(frequencies, table_name=f"frequencies_{column}")
        linker.table_management.register_term_frequency_lookup(table, column)
    pairs = linker.inference.predict(warning_mode="never").as_pandas_dataframe()
    prior = learnt["probability_two_random_records_match"]  # where splink started from; in each of its weights
    pairs["weight"] = pairs["match_weight"] - np.log2(prior / (1 - prior))
    left, right = f"{_ROW}_l", f"{_ROW}_r"
    return pairs[[left, right, "weight"]].sort_values([left, right], ignore_index=True)


def _linker(rows: pd.DataFrame, settings: Any) -> tuple[Linker, Any]:
    """Return splink at work on `rows` in a database of its own, in one thread: sums have one order, and nothing leaves.

    Without access to the outside DuckDB neither fetches extensions nor reads files.
    """
    import duckdb

    splink = _splink()
    closed = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "enable_external_access": False,
    }
    database = splink.DuckDBAPI(duckdb.connect(config={"threads": 1, **closed}))
    compared = [c for c in rows if c not in ("id", "known_time")]
    table = database.register(rows[compared].assign(**{_ROW: np.arange(len(rows))}))
    logging.getLogger("splink").setLevel(logging.ERROR)  # it warns of each outcome that no pair showed
    return splink.Linker(table, settings, log_level=None), database


def _comparison(column: str, kind: RecordColumn) -> Any:
    """Return the outcomes that are told apart in two values of one kind, from equal to different."""
    library = _splink().comparison_library
    if kind == "name":
        return library.NameComparison(column)
    if kind == "date":
        return library.DateOfBirthComparison(column, input_is_string=True, invalid_dates_as_null=False)
    if kind == "email":
        return library.EmailComparison(column)
    if kind == "exact":
        return library.ExactMatch(column).configure(term_frequency_adjustments=True)
    # splink's own postcodes are British; a common beginning is a common region in most countries.
    level = _splink().comparison_level_library
    return library.CustomComparison(
        output_column_name=column,
        comparison_levels=[
            level.NullLevel(column),
            level.ExactMatchLevel(column),
            level.DamerauLevenshteinLevel(column, 1),
            level.ExactMatchLevel(_splink().ColumnExpression(column).substr(1, 2)),
            level.ElseLevel(),
        ],
    )


def _splink() -> ModuleType:
    try:
        import splink
        import splink.comparison_level_library
        import splink.comparison_library
    except ImportError:
        raise InputError("linkage needs splink, which is not installed; run `make setup-linkage`") from None
    return splink
