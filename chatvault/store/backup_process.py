"""A process that makes one backup: the daemon's own would be kept busy by the verification for seconds.

`python -m chatvault.store.backup_process SOURCE TARGET KEYS_DIR` prints one JSON object: the backup, or what
went wrong.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

from chatvault.errors import StorageFull, StoreError
from chatvault.store.backup import make
from chatvault.store.signing import TrustedKeys

_NICENESS = 10


def main(source: str, target: str, keys_dir: str) -> int:
    """Make the backup and print what came of it; 1 where it failed."""
    # A sandbox may forbid even that; the backup is made all the same.
    with suppress(OSError):
        os.nice(_NICENESS)
    try:
        made = make(Path(source), Path(target), keys=TrustedKeys.read(Path(keys_dir)))
    except StoreError as error:
        told = {"error": error.message, "hint": error.hint, "is_full": isinstance(error, StorageFull)}
        sys.stdout.write(json.dumps(told))
        return 1
    sys.stdout.write(
        json.dumps(
            {
                "path": str(made.path),
                "bytes": made.size_bytes,
                "seq": made.seq,
                "head": made.head,
                "requests": made.requests,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
