"""How much memory the process holds, how often it is searched for garbage, and how many files it may open."""

import gc
import resource

# Almost everything that a request makes is freed without the collector; the default, 700, has it look through
# the running requests many times over.
_YOUNG_OBJECTS = 10_000


def resident_bytes() -> int:
    """Return the process's resident memory, in bytes."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def raise_open_files_limit() -> int:
    """Raise the limit of open files as far as it goes, and return it: 500 open streams take 1,000 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # systemd has set it for a service, whose sandbox forbids to change it.
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def spare_the_collector() -> None:
    """Take what the start has made out of the garbage collector's sight, and have it look less often.

    A look at all of it would stall the event loop for some 15 ms each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
