from pathlib import Path

import pytest

import by_hand
from waymark import feature_docs, schema, table_docs
from waymark.config import FeaturesConfig
from waymark.feature_groups import GROUPS, feature_table

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_schema_says():
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == table_docs.render(), "run `make docs`"


def test_every_table_and_column_is_there():
    page = table_docs.render()
    for table in (t for t in vars(schema).values() if isinstance(t, schema.Table)):
        section = page.split(f"## {table.name}\n")[1].split("\n## ")[0]
        assert all(f"| `{column}` |" in section for column in table.columns)


def test_a_comment_above_a_column_is_told_as_one_beside_it_is():
    lines = table_docs.render().split("## predictions\n")[1].splitlines()
    told = {name: next(line for line in lines if line.startswith(f"| `{name}`")) for name in ("return_days", "stage")}
    assert "half do by this day" in told["return_days"] and "where the person is" in told["stage"]


def test_the_page_of_features_is_what_their_table_says():
    assert (ROOT / "docs/features.md").read_text(encoding="utf-8") == feature_docs.render(ROOT / "conf"), (
        "run `make docs`"
    )


@pytest.mark.parametrize("points", ["snapshots", "every_event"])
def test_every_feature_has_a_line_with_its_group_formula_and_unit(points):
    chosen: FeaturesConfig = by_hand.settings(points=points, groups=list(GROUPS), **feature_docs.ACTIVE)
    lines = feature_docs.render(ROOT / "conf").splitlines()
    for row in feature_table(chosen, feature_docs.EXAMPLE):
        line = next(line for line in lines if line.startswith(f"| `{row.pattern}` | {row.feature.group}"))
        assert f"| {row.source.formula} | {row.feature.unit} |" in line
        braces = {part.split("}")[0] for part in row.source.formula.split("{")[1:]}
        assert all(f"{{{name}}}" in row.pattern for name in braces), "the formula says what the name says"
