"""How much memory the process holds, and how many files it may open."""

import resource


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
