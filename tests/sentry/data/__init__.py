"""What the simulated organizations hold.

`demo` is small and believable, with the names of Sentry's documentation and one of each
oddity seen on real servers; `generated` is as large as asked for. Both are the same
whenever they are built from the same arguments.
"""

from tests.sentry.data.builder import Builder
from tests.sentry.data.events import Entries, Event, iso
from tests.sentry.data.objects import Feedback, Issue, Organization
from tests.sentry.data.sizes import demo, generated

__all__ = [
    "Builder",
    "Entries",
    "Event",
    "Feedback",
    "Issue",
    "Organization",
    "demo",
    "generated",
    "iso",
]
