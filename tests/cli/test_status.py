"""The daemon's status."""

from chatvault.core.chat import JsonObject
from tests.support.control import serving
from tests.support.program import Program


async def status(query: JsonObject) -> JsonObject:
    return {
        "schema": 1,
        "pid": 7,
        "started_at_ms": 1795647952741,
        "uptime_seconds": 93_784,
        "memory_bytes": 44_539_904,
        "tunnel": {"schema": 1, "state": "up", "since": 1795647952741},
        "providers": [{"name": "echo", "queued": 0, "in_flight": 2, "trouble": None}],
    }


def test_json_is_the_daemons_own(chatvault: Program) -> None:
    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("GET", "/v1/status"): status}):
        assert chatvault.run("status", "--json").json["memory_bytes"] == 44_539_904


def test_people_get_units_and_their_zone(chatvault: Program) -> None:
    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("GET", "/v1/status"): status}):
        lines = chatvault.run("status").out.splitlines()

    assert [line.split("  ", 1)[1].strip() for line in lines[1:4]] == [
        "2026-11-25 23:05:52 UTC",
        "1 d 2 h",
        "44.5 MB",
    ]
    assert lines[-1] == "  name echo, queued 0, in flight 2"


def test_people_are_spared_what_says_nothing(chatvault: Program) -> None:
    async def quiet(query: JsonObject) -> JsonObject:
        tunnel: JsonObject = {"state": "off", "relay": None, "hint": "chatvault tunnel up", "bytes_in": 0}
        return {"schema": 1, "gpus": [], "tunnel": tunnel, "conditions": []}

    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("GET", "/v1/status"): quiet}):
        said = chatvault.run("status").out
        whole = chatvault.run("status", "--json").json

    assert [line.split() for line in said.splitlines()] == [
        ["gpus", "none"],
        ["tunnel"],
        ["state", "off"],
        ["hint", "chatvault", "tunnel", "up"],
        ["needs", "a", "look", "nothing"],
    ]
    assert (whole["tunnel"]["bytes_in"], whole["conditions"]) == (0, [])


def test_people_get_neither_a_schema_nor_an_epoch(chatvault: Program) -> None:
    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("GET", "/v1/status"): status}):
        said = chatvault.run("status").out

    assert "schema" not in said and "1795647952741" not in said
    assert "  since  2026-11-25 23:05:52 UTC" in said
