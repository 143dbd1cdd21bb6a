"""Benchmarks of ChatVault, run by one command and never by the tests: `python -m tests.bench`."""
