"""The event store: what was delivered, settled into events, in buckets that hold everything of a person."""
