"""One file a DVC step: read settings and tables, call the library, write."""
