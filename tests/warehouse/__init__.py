"""Tests that load PostgreSQL and run the documented SQL on it."""
