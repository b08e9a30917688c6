"""A small Sentry, at least as strict as the real one.

`SentrySimulator` has one set of answers and two doors: `patched()` for the `requests`
of this process and `served()` for a socket on 127.0.0.1. It can be four servers:
sentry.io of today, a self-hosted Sentry 9.1.2, one of 2024, and GlitchTip. What is not
simulated is refused, so that no test passes by accident.

    python -m tests.sentry --flavour saas --size demo
"""

from tests.sentry.answers import FORBIDDEN
from tests.sentry.calls import (
    LIMITS_OF_24,
    SAAS_LIMITS,
    SCOPES,
    TOKEN,
    Fault,
    Key,
    Limit,
    Request,
    Token,
)
from tests.sentry.endpoints import ENDPOINTS
from tests.sentry.flavours import FLAVOURS
from tests.sentry.simulator import SentrySimulator
from tests.sentry.truth import STREAMS

__all__ = [
    "ENDPOINTS",
    "FLAVOURS",
    "FORBIDDEN",
    "LIMITS_OF_24",
    "SAAS_LIMITS",
    "SCOPES",
    "STREAMS",
    "TOKEN",
    "Fault",
    "Key",
    "Limit",
    "Request",
    "SentrySimulator",
    "Token",
]
