"""Bodies to rows and columns."""
