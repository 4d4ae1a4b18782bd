"""Delivered files become events: `ingest` reads them, `mapping` says what they mean, `parse` reads single cells."""
