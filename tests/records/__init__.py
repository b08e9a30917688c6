"""Decoding response bodies into rows and columns."""
