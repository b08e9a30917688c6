"""How fast the tap is: `make bench`, or `python -m tests.benchmarks [case …]`."""
