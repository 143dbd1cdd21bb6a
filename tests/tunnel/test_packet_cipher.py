"""What one side seals the other opens, whichever of the two is asyncssh."""

import os

from asyncssh.encryption import get_encryption
from hypothesis import given
from hypothesis import strategies as st

from chatvault.tunnel.packet_cipher import TAG_BYTES, PacketCipher

_NAME = b"aes128-gcm@openssh.com"
_payloads = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=70)), max_size=5)


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12), _payloads)
def test_asyncssh_opens_what_is_sealed(key: bytes, nonce: bytes, payloads: list[tuple[bytes, bytes]]) -> None:
    ours, theirs = PacketCipher(key, nonce), get_encryption(_NAME, key, nonce)
    for head, data in payloads:
        length, sealed = ours.seal(head, data)
        assert len(sealed) - TAG_BYTES == int.from_bytes(length, "big")
        assert (len(sealed) - TAG_BYTES) % 16 == 0
        body, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
        plain = theirs.decrypt_packet(0, length + body[:12], body[12:], 4, tag)
        assert plain is not None
        assert plain[0] >= 4
        assert plain[1 : -plain[0]] == head + data


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12), _payloads)
def test_what_asyncssh_seals_is_opened(key: bytes, nonce: bytes, payloads: list[tuple[bytes, bytes]]) -> None:
    ours, theirs = PacketCipher(key, nonce), get_encryption(_NAME, key, nonce)
    for number, (head, data) in enumerate(payloads):
        length = len(head + data).to_bytes(4, "big")
        sealed, tag = theirs.encrypt_packet(0, length, head + data)
        if number % 2:
            assert ours.look(length, sealed[4:] + tag) == head + data
            ours.move_on()
        else:
            first, shown = ours.decrypt_header(0, sealed[:16], 4)
            assert shown == length
            assert ours.decrypt_packet(0, first, sealed[16:], 4, tag) == head + data


def test_asyncssh_may_seal_by_it_too() -> None:
    key, nonce = os.urandom(16), os.urandom(12)
    ours, theirs = PacketCipher(key, nonce), PacketCipher(key, nonce)
    for plain in (b"a" * 16, b"b" * 48):
        length = len(plain).to_bytes(4, "big")
        packet, mac = ours.encrypt_packet(0, length, plain)
        assert mac == b""
        assert theirs.look(length, packet[4:]) == plain
        theirs.move_on()


def test_looking_does_not_move_on() -> None:
    key, nonce = os.urandom(16), os.urandom(12)
    length, sealed = PacketCipher(key, nonce).seal(b"head", b"data")
    opener = PacketCipher(key, nonce)
    assert opener.look(length, sealed) == opener.look(length, sealed) is not None
    opener.move_on()
    assert opener.look(length, sealed) is None


def test_a_changed_packet_is_not_genuine() -> None:
    key, nonce = os.urandom(16), os.urandom(12)
    length, sealed = PacketCipher(key, nonce).seal(b"head", b"data")
    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        assert PacketCipher(key, nonce).look(length, changed) is None
    assert PacketCipher(key, nonce).look(b"\0\0\0\x21", sealed) is None


def test_the_counter_begins_anew_past_its_end() -> None:
    key, nonce = os.urandom(16), b"abcd" + b"\xff" * 8
    sealer, opener = PacketCipher(key, nonce), PacketCipher(key, nonce)
    for _ in range(2):
        length, sealed = sealer.seal(b"", b"data")
        assert opener.look(length, sealed) is not None
        opener.move_on()
    assert PacketCipher(key, b"abcd" + bytes(8)).look(length, sealed) is not None
