"""The HTTP side: one request down to a provider and back up, once."""
