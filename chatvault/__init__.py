"""ChatVault: one OpenAI-compatible endpoint for local and paid language models, with exact accounting."""

__version__ = "0.1.0"
