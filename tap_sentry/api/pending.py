"""A request on its way to Sentry."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from tap_sentry.api import rate_limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

T = TypeVar("T")


@dataclass(eq=False)
class PendingRequest(Generic[T]):
    """A request that waits, is in flight or has been answered."""

    #: The stream that it is sent for.
    owner: str
    #: The path template of the endpoint, which has one rate limiter.
    endpoint: str
    request: requests.PreparedRequest
    #: Checks and decodes a response; raises a `SentryError` if it is unusable.
    read: Callable[[requests.Response], T]
    #: Whether to wait until a brown-out ends; if not, it is final at once.
    waits_for_brown_out: bool = True
    #: Whether the first failure of the server is final, because the endpoint may be
    #: missing and has a fallback.
    is_trial: bool = False
    future: Future[T] = field(default_factory=Future)
    order: tuple[int, ...] = ()
    attempts: int = 0
    rejections: int = 0
    reopenings: int = 0
    delays: Iterator[float] = field(default_factory=rate_limits.expo)
