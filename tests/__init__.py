"""Tests of tap-sentry, and the simulated Sentry that they use."""

import os

#: Whether the long randomized tests run at full length, as in `make soak`.
IS_SOAK = os.environ.get("SOAK") == "1"
