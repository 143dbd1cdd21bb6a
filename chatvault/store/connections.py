"""How connections to the database are opened."""

import sqlite3
from pathlib import Path

APPLICATION_ID = 0x43564C54
"""'CVLT' in the file's header: SQLite's own mark for whose file it is."""

BUSY_SECONDS = 5.0
_WAL_PAGES = 2000
_WAL_BYTES = 64 << 20


def read_only(path: Path) -> sqlite3.Connection:
    """Open the database for reading, safely beside its writer. Raises sqlite3.Error."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def for_writing(path: Path) -> sqlite3.Connection:
    """Open the database for its one writer. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection
