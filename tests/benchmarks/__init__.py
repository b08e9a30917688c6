"""Benchmarks of the tap: `make bench`, or `python -m tests.benchmarks [case …]`."""
