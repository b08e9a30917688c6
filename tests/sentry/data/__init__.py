"""The data of the simulated organizations.

`demo` is small and realistic, with the names of Sentry's documentation and one of each
oddity seen on real servers; `generated` has any size. The same arguments always build
the same data. `uneven` is as large, and as unequal as that of large customers.
"""

from tests.sentry.data.builder import Builder
from tests.sentry.data.events import Entries, Event, iso
from tests.sentry.data.objects import Feedback, Issue, Organization
from tests.sentry.data.sizes import demo, generated
from tests.sentry.data.uneven import uneven

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
    "uneven",
]
