from pathlib import Path

from waymark import schema, table_docs

ROOT = Path(__file__).parents[1]


def test_the_page_is_what_the_schema_says():
    assert (ROOT / "docs/tables.md").read_text(encoding="utf-8") == table_docs.render(), "run `make docs`"


def test_every_table_and_column_is_there():
    page = table_docs.render()
    for table in (t for t in vars(schema).values() if isinstance(t, schema.Table)):
        section = page.split(f"## {table.name}\n")[1].split("\n## ")[0]
        assert all(f"| `{column}` |" in section for column in table.columns)
