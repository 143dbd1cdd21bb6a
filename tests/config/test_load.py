"""Reading config.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args, get_type_hints
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatvault.cli import output
from chatvault.config.load import load, load_usage
from chatvault.config.settings import PriceOverride, Settings
from chatvault.core.secret import Secret
from chatvault.core.setting import setting
from chatvault.core.text import printable
from chatvault.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
KINDS = ("ollama", "anthropic", "deepseek", "openai_compatible", "embedded", "echo")
KEYS = {"ANTHROPIC_API_KEY": "sk-ant-api03-abcdefgh", "DEEPSEEK_API_KEY": "sk-0123456789abcdef"}
PRICE = "prices:\n  overrides:\n    - {{model: a, per_mtok: {{input: {}, output: 1}}}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnySettings:
    """What the kinds of these tests take."""

    base_url: str = setting("", "The address.")
    api_key: Secret | None = setting(None, "The key.")
    timeout_seconds: float = setting(120.0, "Silence.")
    max_concurrency: int | None = setting(None, "Places.")
    queue_seconds: float = setting(30.0, "Waiting.")


def read(tmp_path: Path, text: str, environ: Mapping[str, str] = KEYS) -> Settings[AnySettings]:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load(path, provider_settings=lambda kind: AnySettings, kinds=KINDS, environ=environ)


def complaint(tmp_path: Path, text: str, environ: Mapping[str, str] = KEYS) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environ)
    return caught.value


def test_the_example_loads() -> None:
    found = load(EXAMPLE, provider_settings=lambda kind: AnySettings, kinds=KINDS, environ=KEYS)

    assert found.providers["anthropic"].settings.api_key == Secret(KEYS["ANTHROPIC_API_KEY"])
    assert found.models["fast"].routes == ("ollama/llama3.2:3b", "deepseek/deepseek-flash")
    assert found.backup.every == timedelta(hours=24)
    assert found.audit.content == "off"
    assert found.prices.overrides[0].per_mtok.cache_read == Decimal("0.028")
    assert found.prices.overrides[0].from_ == date(2026, 11, 1)


def _keys(cls: type, node: object, where: str) -> list[str]:
    missing = []
    hints = get_type_hints(cls)
    for each in fields(cls):
        key = each.name.rstrip("_")
        if cls is Settings and key in ("path", "providers", "models"):
            continue
        if not isinstance(node, dict) or key not in node:
            missing.append(f"{where}{key}")
            continue
        inner = [hints[each.name], *get_args(hints[each.name])]
        for kind in inner:
            if is_dataclass(kind):
                value = node[key][0] if isinstance(node[key], list) else node[key]
                missing += _keys(kind, value, f"{where}{key}.")
    return missing


def test_the_example_holds_every_key() -> None:
    assert _keys(Settings, yaml.safe_load(EXAMPLE.read_text()), "") == []


def test_every_setting_has_its_sentence_of_help() -> None:
    def without_help(cls: type) -> list[str]:
        found = []
        for each in fields(cls):
            is_required = each.name in ("path", "model", "per_mtok", "input", "output")
            if not is_required and not str(each.metadata.get("help", "")).strip():
                found.append(f"{cls.__name__}.{each.name}")
            for kind in (get_type_hints(cls)[each.name], *get_args(get_type_hints(cls)[each.name])):
                found += without_help(kind) if is_dataclass(kind) and isinstance(kind, type) else []
        return found

    assert without_help(Settings) == []
    assert without_help(PriceOverride) == []


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, "# nothing yet\n")

    assert found.server.port == 4000
    assert dict(found.providers) == {}


def test_a_section_with_nothing_below_it_is_all_defaults(tmp_path: Path) -> None:
    assert read(tmp_path, "server:\nmodels:\n").server.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("providers:\n  x: {kind: echo, apikey: x}\n", 2, "apikey: unknown key", "did you mean api_key?"),
        ("servr: {}\n", 1, "servr: unknown key", "did you mean server?"),
        ("provider: {}\n", 1, "provider: unknown key", "did you mean providers?"),
        ("limits: {budget: {usd: 5, per: week}}\n", 1, "limits.budget.per: 'week' is not one of", None),
        ("path: x\n", 1, "path: unknown key", None),
        ("server:\n  prot: 1\n", 2, "server.prot: unknown key", "did you mean port?"),
        ("server:\n  port: '4000'\n", 2, "server.port: expected a whole number", "without quotes"),
        ("server:\n  port: 70000\n", 2, "server.port: must be 1 to 65535", None),
        ("server:\n  port: 0x10\n", 2, "server.port: expected a whole number", None),
        ("server:\n  port:\n", 2, "server.port: expected a whole number, got nothing", None),
        ("server:\n  host: [a]\n", 2, "server.host: expected text, got a list", None),
        ("server: 7\n", 1, "server: expected keys", None),
        ("server:\n  port: 1\n  port: 2\n", 3, "server.port: stands here twice, first in line 2", None),
        ("server:\n  drain_seconds: -1\n", 2, "can't be negative", None),
        ("server:\n  max_connections: 0\n", 2, "must be 1 or more", None),
        ("server:\n  public_url: ftp://x\n", 2, "expected an address such as", None),
        ("server:\n  public_url: http://u:p@x\n", 2, "can't hold a user name", None),
        ("server:\n  allowed_hosts: x\n", 2, "expected a list", None),
        ("server:\n  tls: {cert: a.pem}\n", 2, "server.tls: key is missing", "both"),
        ("tunnel:\n  host: 12\n", 2, "tunnel.host: expected text", "quotes"),
        ("tunnel:\n  enabled: true\n", 2, "tunnel.host: missing", None),
        ("tunnel:\n  host: me@relay\n", 2, "tunnel.host: 'me@relay' is no address", "tunnel.user"),
        ("tunnel:\n  host: relay:22\n", 2, "tunnel.host: 'relay:22' is no address", "tunnel.port"),
        ("tunnel:\n  host: '[fd78::1]'\n", 2, "tunnel.host: '[fd78::1]' is no address", None),
        ("tunnel:\n  host: ''\n", 2, "tunnel.host: is empty", None),
        ("tunnel:\n  jump: [bastion]\n", 2, "tunnel.jump: 'bastion' is not USER@HOST", "me@bastion"),
        ("tunnel:\n  jump: ['me@a:b']\n", 2, "tunnel.jump: 'me@a:b' is not USER@HOST", None),
        ("tunnel:\n  jump: ['me@a:99999']\n", 2, "tunnel.jump: 'me@a:99999' is not", None),
        ("tunnel:\n  jump: ['me@fd78::1']\n", 2, "tunnel.jump: 'me@fd78::1' is not", "[2001:db8::1]"),
        ("audit: {content: ful}\n", 1, "'ful' is not one of", "did you mean full?"),
        ("backup: {every: 24}\n", 1, "expected a duration", None),
        ("backup: {every: 0h}\n", 1, "must be above 0", None),
        ("usage: {timezone: Mars/Base}\n", 1, "no time zone", None),
        ("usage: {timezone: ../../etc/passwd}\n", 1, "no time zone", None),
        ("providers:\n  x: {}\n", 2, "providers.x: kind is missing", "ollama"),
        ("providers:\n  x: {kind: olama}\n", 2, "unknown kind of provider", "did you mean ollama?"),
        ("providers:\n  x/y: {kind: echo}\n", 2, "letters, digits", None),
        (
            "providers:\n  x: {kind: echo, max_concurency: 1}\n",
            2,
            "unknown key",
            "did you mean max_concurrency?",
        ),
        ("providers:\n  x: {kind: echo, max_concurrency: 0}\n", 2, "must be above 0", None),
        ("providers:\n  x: {kind: echo, base_url: localhost:1}\n", 2, "expected an address", None),
        ("providers: {e: {kind: echo}}\nmodels:\n  m: {routes: [ech/echo]}\n", 3, "unknown provider", "e"),
        ("providers: {e: {kind: echo}}\nmodels:\n  m: {routes: [echo]}\n", 3, "is not PROVIDER/NAME", None),
        ("providers: {e: {kind: echo}}\nmodels:\n  m: {}\n", 3, "has no routes", None),
        ("providers: {e: {kind: echo}}\nmodels:\n  m: {routes: [e/a, e/a]}\n", 3, "twice", None),
        ("providers: {e: {kind: echo}}\nmodels:\n  e/a: {routes: [e/b]}\n", 3, "already a provider's", None),
        ("models:\n  m: {routes: [a/b]}\n  m: {routes: [a/b]}\n", 3, "stands here twice", None),
        ("prices:\n  overrides:\n    - {model: a}\n", 3, "per_mtok is missing", None),
        (
            "prices: {overrides: [{model: a, per_mtok: {input: x, output: 1}}]}\n",
            1,
            "expected a number",
            None,
        ),
        ("server:\n\tport: 1\n", 2, "a tab indents", "spaces"),
        ("server: {port: 1\n", 2, "not closed", None),
        ("tunnel: {remote_bind: *}\n", 1, "", None),
        ("a: b: c\n", 1, "one colon too many", None),
        ("server: {}\n---\nserver: {}\n", 2, "second document", None),
        ("- a\n", 1, "expected keys", None),
        ("? [a]\n: b\n", 1, "a key must be plain text", None),
        ("server:\n  host: ''\n", 2, "server.host: is empty", "0.0.0.0"),
        ("server:\n  host: 300.1.1.1\n", 2, "server.host: '300.1.1.1' is no address", "127.0.0.1"),
        ("server:\n  host: http://x\n", 2, "server.host: 'http://x' is no address", "127.0.0.1"),
        ("server:\n  drain_seconds: 1.0e+400\n", 2, "server.drain_seconds: is too large", None),
        (PRICE.format("0.0000001"), 3, "finer than a picodollar a token", "six decimals"),
        (PRICE.format("1.000000000000000000000000000000000001"), 3, "finer than a picodollar", None),
        (PRICE.format("1e400"), 3, "no price is above 10,000 USD", None),
        ("limits:\n  budget: {usd: 1e400, per: day}\n", 2, "limits.budget.usd: 1E+400 USD is more", "5.00"),
        ("limits:\n  budget: {usd: 0.0000000000001, per: day}\n", 2, "finer than a picodollar", None),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    line: int,
    message: str,
    hint: str | None,
) -> None:
    error = complaint(tmp_path, text)

    assert error.path == str(tmp_path / "config.yaml")
    assert error.line == line
    assert message in error.message
    assert error.hint and (hint is None or hint in error.hint)
    output.complain(str(error), error.hint)
    assert capsys.readouterr().err == f"Error: {printable(str(error))}\nTry: {printable(error.hint)}\n", (
        "what is printed is the whole message"
    )


def test_a_missing_secret_names_the_line_and_the_command_that_sets_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "providers:\n  claude:\n    kind: anthropic\n    api_key: env:ANTHROPIC_API_KEY\n"
    error = complaint(tmp_path, text, {})

    assert (error.line, error.hint) == (
        4,
        "chatvault keys set claude, or export ANTHROPIC_API_KEY where chatvault serve is started",
    )
    output.complain(str(error), error.hint)
    assert "providers.claude.api_key: ANTHROPIC_API_KEY is neither in the env" in capsys.readouterr().err


def test_a_missing_secret_is_none_where_none_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("providers: {a: {kind: anthropic, api_key: 'env:NONE'}}")

    found = load(
        path, provider_settings=lambda kind: AnySettings, kinds=KINDS, environ={}, are_secrets_needed=False
    )

    assert found.providers["a"].settings.api_key is None


def test_a_path_is_the_settings_files_neighbour(tmp_path: Path) -> None:
    found = read(tmp_path, "server: {tls: {cert: c.pem, key: /k.pem}}")

    assert (found.server.tls.cert, found.server.tls.key) == (tmp_path / "c.pem", Path("/k.pem"))


def test_units_and_zones_are_read(tmp_path: Path) -> None:
    found = read(
        tmp_path, "server: {max_body_bytes: 20MiB}\nusage: {timezone: Europe/Berlin}\nbackup: {every: 2w}"
    )

    assert found.server.max_body_bytes == 20 * 2**20
    assert found.usage.timezone == ZoneInfo("Europe/Berlin")
    assert found.backup.every == timedelta(weeks=2)


def test_a_price_is_exactly_what_is_written(tmp_path: Path) -> None:
    text = "prices: {overrides: [{model: m, per_mtok: {input: 0.003625, output: 1}}]}"

    assert read(tmp_path, text).prices.overrides[0].per_mtok.input == Decimal("0.003625")


def test_no_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "no.yaml", provider_settings=lambda kind: AnySettings, kinds=KINDS, environ={})

    assert caught.value.hint == "chatvault init"


def test_the_usage_section_alone_ignores_mistakes_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("providers: {x: {kind: nonsense}}\nusage: {timezone: UTC}\n")

    assert load_usage(path).timezone == ZoneInfo("UTC")
    path.write_text("usage:\n")
    assert load_usage(path).timezone == "local"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(alphabet="server:port models-[]{}'\"\t\n #&*!|>%@`,?123\x00é", max_size=60))
def test_any_text_is_settings_or_a_complaint(tmp_path: Path, text: str) -> None:
    try:
        read(tmp_path, text)
    except ConfigError as exc:
        assert exc.message
