"""A simulated Sentry server, at least as strict as the real one.

`SentrySimulator` gives the same answers in two ways: `patched()` intercepts the
`requests` calls of this process, and `served()` listens on 127.0.0.1. It simulates four
servers: today's sentry.io, a self-hosted Sentry 9.1.2, a self-hosted Sentry of 2024,
and GlitchTip. Whatever is not simulated is refused, so that no test passes by accident.

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
