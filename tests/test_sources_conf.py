"""The mapping files that are shipped compose, and mean what the layouts they are made for say."""

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ingested import ingest
from waymark import tables
from waymark.config import CONF, Settings, SourceConfig, check
from waymark.errors import InputError
from waymark.sources.files import delivered_time
from waymark.steps import ingest as step
from waymark.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:Series.values returning")

CONF_DIR = (Path(__file__).parents[1] / CONF).resolve()
SHIPPED = sorted(p.stem for p in (CONF_DIR / "source").glob("*.yaml"))


def resolved(source, search=None):
    """Compose the settings with `source`, as the config step does; `search` is a further conf folder."""
    overrides = [f"source={source}", *([f"hydra.searchpath=[file://{search}]"] if search else [])]
    with initialize_config_dir(str(CONF_DIR), version_base=None):
        settings = OmegaConf.to_container(compose("config", overrides), resolve=True)
    settings.pop("cutoff_time", None)
    return settings


def mapping_of(preset, tmp_path, **feed):
    """Write a mapping file that takes `preset` for its feed `web`, and return it composed and checked."""
    mine = {"defaults": [f"presets/{preset}@feeds.web"], "name": "mine", "feeds": {"web": {"files": ["*"], **feed}}}
    path = tmp_path / "conf" / "source" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(mine))
    return check(SourceConfig, resolved("mine", tmp_path / "conf")["source"], "source")


def ingest_sample(preset, tmp_path, name, text, **feed):
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / name).write_text(text, encoding="utf-8")
    return ingest(landing, mapping_of(preset, tmp_path, **feed))


def values(result, *columns):
    events = result.events.astype(object).where(result.events.notna(), None)
    return events[list(columns)].values.tolist()


def json_lines(*rows):
    return "".join(json.dumps(r) + "\n" for r in rows)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_source_composes_to_valid_settings(name):
    settings = check(Settings, resolved(name), name)
    assert settings.source.name == name


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_source_is_documented(name):
    root = CONF_DIR.parent
    assert f"source={name} " in (root / "README.md").read_text(encoding="utf-8")
    if name != "simulated":  # its files are made here
        table = (root / "docs/sources.md").read_text(encoding="utf-8").split("## Sources that ship")[1].split("## ")[0]
        assert f"`{name}`" in table


def ingest_shipped(name, folder, **tables_):
    """Ingest rows in the published layout of the shipped source `name`, a Parquet file for each of its tables."""
    for file, columns in tables_.items():
        pd.DataFrame(columns).to_parquet(folder / f"{file}.parquet")
    return ingest(folder, check(SourceConfig, resolved(name)["source"], "source"))


def test_the_baskets_and_redemptions_of_complete_journey(tmp_path):
    line = {"household_id": "900", "store_id": "330", "basket_id": "b1", "week": 1, "coupon_match_disc": 0.0}
    when = pd.Timestamp("2017-06-01 02:30:00")  # half past ten in the evening of 31 May, where the shops are
    lines = [
        line | {"transaction_timestamp": when, "sales_value": v, "retail_disc": 0.25, "coupon_disc": c, "quantity": 1.0}
        for v, c in ((3.86, 0.0), (1.14, 0.5))
    ]
    redemption = {"household_id": ["900"], "coupon_upc": ["513"], "campaign_id": ["26"]}
    redemption["redemption_date"] = [pd.Timestamp("2017-05-31").date()]
    result = ingest_shipped("complete_journey", tmp_path, transactions_sample_100k=lines, coupon_redemptions=redemption)
    assert values(result, "event_type", "customer_id", "value_cents", "attr_store", "num_coupon_discount") == [
        ["coupon_redemption", "900", None, None, None],
        ["order", "900", 500, "330", 0.5],
    ]
    assert result.events["attr_campaign"].tolist()[0] == "26"
    assert result.events["known_time"].dt.strftime("%m-%d %H:%M").tolist() == ["06-01 03:59", "06-01 02:30"]


def test_a_tweet_that_the_crowd_read_twice_in_two_ways_counts_once_and_is_said(tmp_path):
    tweet = {"tweet_id": 570306133677760513, "airline": "Delta", "user": "u1", "negativereason": None}
    tweet["event_time"] = pd.Timestamp("2015-02-24 19:35:52.701", tz="UTC")
    tweets = [tweet | {"airline_sentiment": s} for s in ("neutral", "positive", "neutral")]
    tweets.append(tweet | {"tweet_id": 7, "airline_sentiment": "negative", "negativereason": "Late Flight"})
    settings = resolved("airline_tweets")["source"] | {"max_reject_share": 1}
    pd.DataFrame(tweets).to_parquet(tmp_path / "tweets.parquet")
    result = ingest(tmp_path, check(SourceConfig, settings, "source"))
    assert values(result, "event_id", "event_type", "attr_reason") == [
        ["570306133677760513", "mention", None],
        ["7", "complaint", "Late Flight"],
    ]
    assert (result.report["duplicates"], result.report["rejects_by_rule"]) == (1, {"conflict": 1})


def test_the_leads_and_deals_of_the_olist_funnel(tmp_path):
    leads = {"mql_id": ["a", "b"], "first_contact_date": pd.to_datetime(["2018-02-01"] * 2)}
    leads |= {"landing_page_id": ["p", "q"], "origin": ["social", None]}
    deals = {"mql_id": ["a", "b"], "won_date": pd.to_datetime(["2018-02-26 19:58:54", "2018-03-01 10:00:00"])}
    deals |= {"business_type": ["reseller", None], "business_segment": ["pet", "car"], "lead_type": ["x", "y"]}
    deals |= {"sr_id": ["s", "t"]}
    result = ingest_shipped("olist_funnel", tmp_path, qualified_leads=leads, closed_deals=deals)
    told = values(result, "customer_id", "event_type", "attr_origin", "attr_segment")
    assert sorted(told[:2], key=str) == [["a", "lead", "social", None], ["b", "lead", None, None]]
    assert told[2:] == [["a", "reseller_won", None, "pet"], ["b", "other_won", None, "car"]]
    assert str(result.events["known_time"].iloc[0]) == "2018-02-01 23:59:00+00:00"


def test_the_visits_and_orders_of_the_attribution_playbook(tmp_path):
    sessions = {"session_id": [20, 17], "customer_id": [3516, 3516], "started_at": ["2020-02-04 2:25:03"] * 2}
    sessions |= {"ended_at": ["2020-02-07 9:25:39", "2020-02-04 2:25:13"], "utm_medium": ["email", None]}
    sessions |= {"utm_source": ["newsletter", "direct"], "utm_campaign": [None, None]}
    orders = {"customer_id": [3516], "converted_at": ["2020-02-07 9:25:39"], "revenue": [15]}
    result = ingest_shipped("attribution_playbook", tmp_path, sessions=sessions, customer_conversions=orders)
    assert values(result, "event_type", "channel", "value_cents") == [
        ["visit", "direct", None],
        ["visit", "email", None],
        ["order", None, 1500],
    ]
    assert result.events["known_time"].dt.day.tolist() == [4, 7, 7]  # a visit is known when it is over


@pytest.mark.parametrize("name", [s for s in SHIPPED if s.startswith("tax2017_")])
def test_the_encodings_of_tax_et_al(tmp_path, name):
    log = {"case_id": ["173688"] * 2, "activity": [3, 5], "row": [0, 1]}
    log["event_time"] = pd.to_datetime(["2011-10-01 19:45:13"] * 2)
    result = ingest_shipped(name, tmp_path, **{name.removeprefix("tax2017_"): log})
    assert values(result, "customer_id", "event_type", "sequence") == [["173688", "3", 0], ["173688", "5", 1]]


def test_a_case_log_with_the_columns_of_xes(tmp_path):
    text = (
        "case:concept:name,concept:name,time:timestamp,org:resource,lifecycle:transition\n"
        "173688,A_SUBMITTED,2011-10-01T00:38:44.546000+02:00,112,COMPLETE\n"
        "173688,W_Call,2011-10-01 00:40:00+02:00,,START\n"
    )
    result = ingest_sample(
        "xes",
        tmp_path,
        "log.csv",
        text,
        attributes={"resource": "org:resource"},
        keep_rows={"lifecycle:transition": ["COMPLETE"]},
    )
    assert values(result, "customer_id", "event_type", "attr_resource") == [["173688", "A_SUBMITTED", "112"]]
    assert result.events["event_time"].iloc[0].isoformat() == "2011-09-30T22:38:44.546000+00:00"
    assert result.report["left_out"] == 1


def snowplow_line(**fields):
    header = yaml.safe_load((CONF_DIR / "source/presets/snowplow.yaml").read_text())["header"]
    assert len(header) == 131
    assert not set(fields) - set(header)
    return "\t".join(fields.get(name, "") for name in header) + "\n"


def test_snowplow_enriched_events(tmp_path):
    action = {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": {
            "schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2",
            "data": {"type": "add_to_cart", "name": 'the "blue" one'},
        },
    }
    common = {
        "platform": "web",
        "collector_tstamp": "2024-05-01 10:00:01.250",
        "etl_tstamp": "2024-05-01 10:05:00.000",
        "domain_userid": "bc2e92ec6c204a14",
        "domain_sessionid": "c6ef3124-b53a-4b13-a233-0088f79dcbcb",
    }
    view = snowplow_line(
        **common,
        event="page_view",
        event_name="page_view",
        event_id="e1",
        page_urlpath='/"x',
        derived_tstamp="2024-05-01 10:00:00.5",
    )
    add = snowplow_line(
        **common,
        event="unstruct",
        event_name="snowplow_ecommerce_action",
        event_id="e2",
        user_id="u7",
        unstruct_event=json.dumps(action),
    )
    order = snowplow_line(**common, event="transaction", event_name="transaction", event_id="e3", tr_total="49.90")
    click = snowplow_line(**common, event="struct", event_name="event", event_id="e4", se_action="play")
    result = ingest_sample("snowplow", tmp_path, "part-00000", view + add + order + click + view)
    assert values(result, "event_id", "event_type", "customer_id", "value_cents", "attr_page") == [
        ["e1", "page_view", None, None, '/"x'],
        ["e2", "add_to_cart", "u7", None, None],
        ["e3", "order", None, 4990, None],
        ["e4", "play", None, None, None],
    ]
    assert {t.minute for t in result.events["known_time"]} == {5}
    assert result.report["duplicates"] == 1


def test_segment_and_rudderstack_calls(tmp_path):
    common = {
        "anonymousId": "507f191e810c19729de860ea",
        "channel": "browser",
        "context": {"page": {"path": "/academy/"}, "campaign": {"name": "TPS", "medium": "email"}},
        "receivedAt": "2024-12-10T04:08:31.909Z",
        "sentAt": "2024-12-10T04:08:31.581Z",
        "timestamp": "2024-12-10T04:08:31.905Z",
        "originalTimestamp": "2024-12-10T04:08:29.000Z",
        "version": 2,
    }
    track = {"type": "track", "event": "Order Completed", "properties": {"revenue": 25.00, "currency": "USD"}}
    text = json_lines(
        {**common, "type": "page", "messageId": "m1", "userId": None},
        {**common, **track, "messageId": "m2", "userId": "97980cfea0067"},
        {**common, "type": "identify", "messageId": "m3", "userId": "97980cfea0067", "traits": {"plan": "pro"}},
    )
    result = ingest_sample("segment", tmp_path, "2024-12-10.json", text)
    assert values(result, "event_type", "actor", "customer_id", "value_cents", "attr_campaign") == [
        ["page_view", "customer", None, None, "TPS"],
        ["order", "customer", "97980cfea0067", 2500, "TPS"],
        ["identify", "system", "97980cfea0067", None, "TPS"],
    ]
    assert result.events["known_time"].dt.microsecond.unique().tolist() == [909_000]


def test_the_ga4_export(tmp_path):
    def param(key, **value):
        return {
            "key": key,
            "value": {"string_value": None, "int_value": None, "float_value": None, "double_value": None, **value},
        }

    common = {
        "event_date": "20210131",
        "user_pseudo_id": "1026454.4271112504",
        "user_id": None,
        "platform": "WEB",
        "device": {"category": "mobile"},
        "geo": {"country": "France"},
        "traffic_source": {"medium": "organic", "name": "(organic)"},
    }
    view = {
        **common,
        "event_name": "view_item",
        "event_timestamp": "1612069510766593",
        "event_params": [
            param("ga_session_id", int_value="661084800"),
            param("page_location", string_value="https://shop/x"),
        ],
    }
    buy = {
        **common,
        "event_name": "purchase",
        "event_timestamp": "1612069520000000",
        "event_params": [
            param("ga_session_id", int_value="661084800"),
            param("engagement_time_msec", int_value="1500"),
        ],
        "ecommerce": {"purchase_revenue": 12.34, "transaction_id": "T_1"},
    }
    result = ingest_sample("ga4", tmp_path, "events_20210131.json", json_lines(view, buy, view))
    columns = (
        "event_type",
        "anonymous_id",
        "session_id",
        "value_cents",
        "attr_page",
        "num_engagement_ms",
        "attr_medium",
    )
    assert values(result, *columns) == [
        ["product_view", "1026454.4271112504", "661084800", None, "https://shop/x", None, "organic"],
        ["order", "1026454.4271112504", "661084800", 1234, None, 1500.0, "organic"],
    ]
    assert result.events["event_time"].iloc[0].isoformat() == "2021-01-31T05:05:10.766593+00:00"
    assert result.report["duplicates"] == 1


def test_adobe_xdm_experience_events(tmp_path):
    ecid = {"ECID": [{"id": "68519882713298129995549973016107434638", "primary": True}]}
    view = {
        "_id": "1e5a1b3c",
        "timestamp": "2024-09-26T15:52:25+00:00",
        "eventType": "web.webpagedetails.pageViews",
        "identityMap": ecid,
        "web": {"webPageDetails": {"name": "home", "URL": "https://shop/"}},
        "environment": {"type": "browser"},
    }
    buy = {
        "_id": "2f6b2c4d",
        "timestamp": "2024-09-26T16:00:00.5Z",
        "eventType": "commerce.purchases",
        "identityMap": {**ecid, "Email": [{"id": "a@example.com", "authenticatedState": "authenticated"}]},
        "commerce": {"order": {"priceTotal": 99.95, "currencyCode": "USD"}, "purchases": {"value": 1}},
    }
    mail = {
        "_id": "3",
        "timestamp": "2024-09-27T08:00:00Z",
        "eventType": "directMarketing.emailSent",
        "identityMap": {"Email": [{"id": "a@example.com"}]},
    }
    result = ingest_sample("xdm", tmp_path, "batch.json", json_lines(view, buy, mail))
    assert values(result, "event_type", "actor", "anonymous_id", "customer_id", "value_cents", "attr_page") == [
        ["page_view", "customer", ecid["ECID"][0]["id"], None, None, "home"],
        ["order", "customer", ecid["ECID"][0]["id"], "a@example.com", 9995, None],
        ["email_sent", "brand", None, "a@example.com", None, None],
    ]


def test_order_lines_with_other_column_names(tmp_path):
    line = "536365,12/1/2010 8:26,17850"
    text = f"InvoiceNo,InvoiceDate,CustomerID,UnitPrice,Quantity\n{line},2.55,6\n{line},3.39,6\n"
    columns = {
        "event_time": "InvoiceDate",
        "customer_id": "CustomerID",
        "guest_id": None,
        "price": "UnitPrice",
        "quantity": "Quantity",
    }
    result = ingest_sample(
        "order_lines",
        tmp_path,
        "online.csv",
        text,
        columns=columns,
        numbers={"quantity": "Quantity"},
        one_event_per="InvoiceNo",
        time_format="%m/%d/%Y %H:%M",
        time_zone="Europe/London",
    )
    assert values(result, "customer_id", "value_cents", "num_quantity", "event_type") == [
        ["17850", 3564, 12.0, "order"]
    ]


def test_a_global_source_takes_presets_and_chooses_other_groups(tmp_path):
    path = tmp_path / "source" / "mine.yaml"
    path.parent.mkdir()
    path.write_text(
        "# @package _global_\n"
        "defaults:\n"
        "  - presets/order_lines@source.feeds.tills\n"
        "  - override /journey: orders\n"
        "  - _self_\n"
        "source: {name: mine, feeds: {tills: {files: [x.csv], columns: {guest_id: null}}}}\n"
        "targets: {horizon_days: 60}\n"
    )
    settings = check(Settings, resolved("mine", tmp_path), "settings")
    assert settings.journey.initial == "prospect"
    assert settings.targets.horizon_days == 60
    tills = settings.source.feeds["tills"]
    assert (tills.files, tills.value, "guest_id" in tills.columns) == (["x.csv"], "price_times_quantity", False)


def test_the_example_of_the_documentation_works(tmp_path):
    text = (CONF_DIR.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    mapping = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    visit, order = "visitor,login,when,page_kind\nv81,,01.06.2025 09:58,product\n", {
        "id": 7, "at": "2025-06-01T10:00:00Z", "customer": {"no": "0012"}, "total": 49.90, "channel": "app",
    }  # fmt: skip
    (tmp_path / "orders").mkdir()
    (tmp_path / "visits-2025-06-01.csv").write_text(visit)
    (tmp_path / "orders/2025-06-01.jsonl.gz").write_bytes(gzip.compress(json_lines(order).encode()))
    result = ingest(tmp_path, check(SourceConfig, mapping, "source"))
    assert values(result, "event_id", "event_type", "customer_id", "channel", "value_cents")[1:] == [
        ["orders:7", "order", "0012", "app", 4990]
    ]
    assert result.events["event_time"].dt.strftime("%H:%M").tolist() == ["07:58", "10:00"]


def test_the_documented_name_of_a_file_tells_when_it_was_delivered():
    text = (CONF_DIR.parent / "docs" / "sources.md").read_text(encoding="utf-8")
    example = next(block for block in text.split("```yaml\n") if block.startswith("files: [orders/")).split("```")[0]
    columns = {"event_time": "at", "customer_id": "who", "event_type": "e"}
    feed = check(SourceConfig, {"name": "x", "feeds": {"a": {**yaml.safe_load(example), "columns": columns}}}, "source")
    name = re.search(r"# (orders/\S+)", example)[1]
    micros = delivered_time(name, feed.feeds["a"], "UTC")
    assert pd.Timestamp(micros, unit="us") == pd.Timestamp("2025-06-01 22:15:59.999999")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": {"event_tme": "at"}}, "event_tme is no field of an event; there are event_id, event_time"),
        ({"columns": {"customer_id": "who"}}, "columns names no event_time"),
        ({"columns": {"event_time": "at", "customer_id": "who"}}, "event_type_rules give an event_type"),
        ({"columns": {"event_time": "at", "event_type": "e"}}, "none of customer_id, anonymous_id, guest_id"),
        ({"time_zone": "Europe/Londn"}, "is no time zone"),
        ({"time_format": "iso"}, "neither a strptime format nor one of epoch_s, epoch_ms, epoch_us"),
        ({"files": ["../secret.csv"]}, "does not stay below the landing folder"),
        ({"event_type_rules": [{"column": "a", "matches": "(", "event_type": "b"}]}, "is no regular expression"),
        ({"attributes": {"Big Name": "x"}}, "'Big Name' does not fit"),
        ({"value": "price_times_quantity"}, "needs columns price and quantity"),
        ({"delivered": "visits-.*"}, "has 0 groups; exactly one, in parentheses, holds the date of delivery"),
        ({"delivered": "("}, "is no regular expression"),
        ({"delivered": "(.*)", "delivered_format": "%Y-%m"}, "'%Y-%m' tells no day of delivery"),
        ({"delivered": "(.*)", "delivered_format": "%Q"}, "is no strptime format"),
        ({"max_clock_skew_minutes": -1}, "max_clock_skew_minutes"),
        ({"colums": {}}, "colums is not a setting; there are actors, attributes, columns"),
    ],
)
def test_a_wrong_mapping_is_refused_in_one_sentence(change, message):
    feed = {"files": ["*"], "columns": {"event_time": "at", "customer_id": "who", "event_type": "e"}, **change}
    with pytest.raises(InputError) as stop:
        check(SourceConfig, {"name": "x", "feeds": {"web": feed}}, "source")
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)


def test_yaml_numbers_are_taken_as_the_text_they_stand_for():
    feed = {"files": ["*"], "columns": {"event_time": "at", "customer_id": "who", "event_type": "e"}}
    feed |= {"event_types": {1: "assign"}, "keep_rows": {"step": [1, 2]}, "constants": {"channel": 7}}
    made = check(SourceConfig, {"name": "x", "feeds": {"web": feed}}, "source").feeds["web"]
    assert (made.event_types, made.keep_rows, made.constants) == (
        {"1": "assign"},
        {"step": ["1", "2"]},
        {"channel": "7"},
    )


def test_the_step_writes_all_or_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    feed = {
        "files": ["*.csv"],
        "columns": {"event_time": "at", "customer_id": "who"},
        "constants": {"event_type": "visit"},
    }
    Path("resolved.yaml").write_text(
        yaml.safe_dump({"landing": "in", "identity": {}, "source": {"name": "x", "feeds": {"web": feed}}})
    )
    Path("in").mkdir()
    Path("in/a.csv").write_text("at,who\n2024-01-01,ann\n")
    step.main()
    kept = [*tables.STORE.rglob("*.*"), tables.REJECTS, tables.REPORTS / "ingest.json"]
    written = {p: p.read_bytes() for p in kept}
    assert Store().events()["customer_id"].tolist() == ["ann"]
    step.main()
    assert {p: p.read_bytes() for p in written} == written
    Path("in/b.csv").write_text("at\n2024-01-01\n")
    with pytest.raises(InputError, match=r"b\.csv has no column who, which the mapping names; it has at"):
        step.main()
    assert {p: p.read_bytes() for p in written} == written
