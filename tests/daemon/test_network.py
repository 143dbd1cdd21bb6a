"""The kernel's count of bytes."""

from pathlib import Path

from chatvault.daemon.network import network_bytes

TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo:  999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0
  eth0: 1000 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0
wlan0:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
"""


def test_every_link_but_loopback_counts(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text(TABLE)
    assert network_bytes(tmp_path / "dev") == (1005, 27)


def test_a_kernel_that_tells_nothing_is_not_zero(tmp_path: Path) -> None:
    assert network_bytes(tmp_path / "none") is None
