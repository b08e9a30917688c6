"""Turn response bodies into rows of declared columns."""
