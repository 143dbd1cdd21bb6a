"""The providers: one file a kind, each answering in OpenAI's shape."""
