"""Ready-made organizations: two small ones, and generated ones of any size."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.sentry.data.builder import Builder

if TYPE_CHECKING:
    from tests.sentry.data.events import Event
    from tests.sentry.data.objects import Organization, Project


def demo(now: datetime) -> list[Organization]:
    """Build two small organizations with a few hundred events over thirty days."""
    build = Builder(now, seed=1)
    jurisdiction = build.organization(
        "the-interstellar-jurisdiction",
        "The Interstellar Jurisdiction",
        ["jurisdiction/pumps", "jurisdiction/movers", "jurisdiction/attic"],
    )
    abolitionist = build.team(jurisdiction, "powerful-abolitionist")
    gabelers = build.team(jurisdiction, "ancient-gabelers")
    build.team(jurisdiction, "silent-choir").is_member = False
    pump = build.project(
        jurisdiction, "pump-station", "python", [abolitionist, gabelers]
    )
    mover = build.project(jurisdiction, "prime-mover", "javascript", [abolitionist])
    yoghurt = build.project(
        jurisdiction, "the-spoiled-yoghurt", "node-express", [gabelers]
    )
    yoghurt.is_member = False
    build.project(jurisdiction, "quiet-harbour", None, [gabelers])
    observatory = build.organization(
        "sternwarte",
        "Sternwarte Königstuhl \N{TELESCOPE}",
        ["sternwarte/optik", "sternwarte/alt"],
    )
    night = build.team(observatory, "night-shift", "Nachtschicht")
    telescope = build.project(observatory, "telescope", "java", [night])

    events: list[Event] = []
    for project, title, number, people, days, status in (
        (pump, "ZeroDivisionError: division by zero", 120, 12, 30, "unresolved"),
        (pump, "ConnectionError: valve 3 does not answer", 45, 7, 20, "unresolved"),
        (pump, "KeyError: 'pressure'", 12, 5, 30, "resolved"),
        (pump, "OSError: [Errno 28] No space left on device", 5, 5, 2, "ignored"),
        (
            mover,
            "TypeError: Cannot read properties of undefined",
            60,
            10,
            30,
            "unresolved",
        ),
        (mover, "ReferenceError: gear is not defined", 8, 4, 10, "resolved"),
        (yoghurt, "Error: spoiled", 20, 6, 30, "unresolved"),
        (telescope, "NullPointerException: mirror", 35, 9, 30, "unresolved"),
        (telescope, "IllegalStateException: dome is closed", 6, 3, 15, "ignored"),
        (mover, "RangeError: there is no gear 7", 40, 8, 4, "unresolved"),
    ):
        issue = build.issue(project, title, status=status)
        events += build.scatter(issue, number, days, people)
    jd = {"type": "user", "id": "1", "name": "John Doe", "email": "jd@example.com"}
    pump.issues[0].assigned_to = jd
    pump.issues[0].priority = "high"
    pump.issues[1].sampled = 200
    events += build.oddities(pump)
    build.file(events)
    for issue, promised, resolved_at, returned in (
        (pump.issues[0], 29, 27, 20),
        (pump.issues[1], 13, 12, 3),
        (pump.issues[2], 25, 24, 23),
        (mover.issues[0], 20, 18, 11),
        (telescope.issues[0], 17, 9, 6),
    ):
        issue.history = [
            (kind, build.now - timedelta(days=days))
            for kind, days in (
                ("set_regression", returned),
                ("set_resolved_in_commit", resolved_at),
                ("set_resolved_in_pull_request", promised),
            )
        ]

    first, second, resolved, ignored = pump.issues[:4]
    for number, (issue, text) in enumerate(
        (
            (first, "I pressed Start and got an error"),
            (first, "Again! And nothing was pumped"),
            (second, "Valve 3 is open, I can see it from here"),
            (resolved, "No pressure, no message \N{SNOWMAN}"),
            (first, "It broke!"),
            (ignored, "It says that a disk is full. Which one?"),
            (first, "Division by zero? I divided nothing"),
        )
    ):
        build.report(issue, pump, timedelta(days=3 * number, hours=1), text)
    pump.feedback[1].user = None
    build.report(None, pump, timedelta(hours=3), "Of an event that never came")
    build.report(
        telescope.issues[0],
        telescope,
        timedelta(days=4),
        "Dunkel … \N{NEW MOON SYMBOL}",
    )
    for project in (pump, mover, yoghurt, telescope):
        build.losses(project)
    return [jurisdiction, observatory]


def generated(  # noqa: PLR0913, each is a size
    *,
    organizations: int = 2,
    teams: int = 5,
    projects: int = 12,
    issues: int = 300,
    events: int = 5000,
    now: datetime,
    seed: int = 1,
    full_kilobytes: float = 4,
    oddities: bool = True,
) -> list[Organization]:
    """Build organizations of any size; numbers are totals, events span thirty days."""
    build = Builder(now, seed, full_kilobytes)
    built = [
        build.organization(
            f"organization-{number}",
            f"Organization {number}",
            [f"code/{number}", "code/hidden"],
        )
        for number in range(1, organizations + 1)
    ]
    for number in range(teams):
        build.team(built[number % organizations], f"team-{number + 1}")
    everything: list[Project] = []
    for number in range(projects):
        organization = built[number % organizations]
        owners = organization.teams[:1] if number % 3 else organization.teams[:2]
        users = max(3, events // max(1, projects) // 10)
        slug = f"project-{number + 1}"
        everything.append(build.project(organization, slug, "python", owners, users))
    statuses = ["unresolved"] * 7 + ["resolved", "resolved", "ignored"]
    causes = [
        build.issue(
            everything[number % projects],
            f"Error{number}: cause number {number}",
            status=build.random.choice(statuses),
        )
        for number in range(issues)
    ]
    shares = Counter(range(min(issues, events)))
    weights = [1 / (rank + 5) for rank in range(issues)]
    if causes:
        rest = max(0, events - issues)
        shares.update(build.random.choices(range(issues), weights, k=rest))
    happened = [
        event
        for cause, n in shares.items()
        for event in build.scatter(causes[cause], n, 30)
    ]
    if oddities and everything:
        happened += build.oddities(everything[0])
    build.file(happened)
    for number, issue in enumerate(causes[: max(1, issues // 10)]):
        build.report(
            issue, issue.project, timedelta(hours=7 * number % 700), f"Report {number}"
        )
    for project in everything:
        build.losses(project)
    return built
