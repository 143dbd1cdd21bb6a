"""The reverse tunnel from home to the relay."""
