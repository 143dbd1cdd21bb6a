"""The daemon: what is built from the settings, kept running and stopped in order."""
