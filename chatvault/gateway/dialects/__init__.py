"""The wire formats clients speak, each turned into a ChatRequest."""
