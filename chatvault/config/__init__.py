"""The settings: where they lie, what they may say, and where secrets come from."""
