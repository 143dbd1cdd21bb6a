"""Helpers of the tests: scripted providers, the installed program as a process, clients."""
