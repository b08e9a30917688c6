"""Rate limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.sentry.answers import RefusalError, web_page, written

if TYPE_CHECKING:
    from tests.sentry.calls import Limit, Request
    from tests.sentry.world import World


def bucket_of(sentry: World, request: Request) -> tuple[str, str]:
    own = request.template in sentry.rate_limits
    return request.template if own else "*", request.authorization


def metered(sentry: World, request: Request) -> dict[str, str]:
    """Count a request against its rate limit and return the headers for it."""
    bucket = bucket_of(sentry, request)
    limit = sentry.rate_limits.get(bucket[0])
    if not limit:
        return {}
    index = math.floor(sentry.clock().timestamp() / limit.window)
    known, used = sentry.windows.get(bucket, (index, 0))
    used = used if known == index else 0
    reset = (index + 1) * limit.window
    left = limit.concurrent - sentry.held[bucket]
    if left < 0:
        raise RefusalError(
            web_page(
                429,
                written(
                    {
                        "detail": "You are attempting to go above the allowed "
                        "concurrency for this endpoint. Concurrency limit is "
                        f"{limit.concurrent}"
                    }
                ),
                **limit_headers(limit, used, reset, 0),
            )
        )
    sentry.windows[bucket] = (index, used + 1)
    headers = limit_headers(limit, used + 1, reset, left)
    if used >= limit.limit:
        detail = (
            "You are attempting to use this endpoint too frequently. Limit is "
            f"{limit.limit} requests in {limit.window:g} seconds"
        )
        raise RefusalError(web_page(429, written({"detail": detail}), **headers))
    return headers


def limit_headers(
    limit: Limit, used: int, reset: float, concurrent: int
) -> dict[str, str]:
    """Return the rate-limit headers that sentry.io sends."""
    prefix = "X-Sentry-Rate-Limit-"
    return {
        f"{prefix}Limit": str(limit.limit),
        f"{prefix}Remaining": str(max(0, limit.limit - used)),
        f"{prefix}Reset": str(math.ceil(reset)),
        f"{prefix}ConcurrentLimit": str(limit.concurrent),
        f"{prefix}ConcurrentRemaining": str(max(0, concurrent)),
    }
