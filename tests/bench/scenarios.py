"""The kinds of load that the gateway is put under, and the names of what is put under it."""

from tests.bench.load import Scenario, Shape

SPACED = Shape(chunks=100, delay_us=2000)
FULL_SPEED = Shape(chunks=100)
BURST = Shape(chunks=100, is_burst=True)
THINKING = Shape(chunks=5, delay_us=4000, think_us=30_000)

WHOLE = [Scenario(f"JSON, {count} connections", count) for count in (1, 16, 64)]
STREAMS = [
    Scenario("64 streams, a chunk every 2 ms", 64, SPACED, is_stream=True),
    Scenario("16 streams, a chunk every 2 ms", 16, SPACED, is_stream=True),
    Scenario("1 stream at full speed", 1, FULL_SPEED, is_stream=True),
    Scenario("16 streams at full speed", 16, FULL_SPEED, is_stream=True),
    Scenario("16 streams, each in one burst", 16, BURST, is_stream=True),
]
FIRST_TOKENS = [
    Scenario(f"{count} streams at once", count, THINKING, is_stream=True) for count in (1, 16, 100)
]
BACKED = [
    Scenario("JSON, 16 connections", 16),
    Scenario("16 streams, a chunk every 2 ms", 16, SPACED, is_stream=True),
]
MODELS = sorted({scenario.shape.model for scenario in (*WHOLE, *STREAMS, *FIRST_TOKENS, *BACKED)})

NGINX = "nginx"
PAID = "ChatVault, paid provider (durable)"
HOME = "ChatVault, provider at home"
OLLAMA = "ChatVault, Ollama"
