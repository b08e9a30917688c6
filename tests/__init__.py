"""Tests of tap-sentry, and the Sentry that they bring along."""

import os

#: Whether tests of many made-up cases run at full length, as `make soak` runs them.
IS_SOAK = os.environ.get("SOAK") == "1"
