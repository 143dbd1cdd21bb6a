"""The database: one file, one writer, many readers."""
