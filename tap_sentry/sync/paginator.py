"""The SDK's view of Sentry's pagination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_sdk.pagination import BaseAPIPaginator

from tap_sentry.api import pagination

if TYPE_CHECKING:
    import requests


class SentryPaginator(BaseAPIPaginator[str | None]):
    """Follows the cursors of the `Link` header."""

    def __init__(self) -> None:
        """Start at the first page, which needs no cursor."""
        super().__init__(None)

    def has_more(self, response: requests.Response) -> bool:
        """Return whether Sentry has rows after this page."""
        return pagination.has_more(response)

    def get_next(self, response: requests.Response) -> str | None:
        """Return the cursor of the next page."""
        return pagination.next_cursor(response)

    def continue_if_empty(self, response: requests.Response) -> bool:
        """Return whether an empty page is followed by others."""
        return self.has_more(response)
