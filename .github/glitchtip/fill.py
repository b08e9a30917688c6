"""Puts a user with a token, an organization and events into the GlitchTip beside it.

    docker compose --file .github/glitchtip/compose.yml up --wait
    python3 .github/glitchtip/fill.py TOKEN

Written from the sources of GlitchTip 6: the models as its own command `bootstrap_dev`
uses them, the ingestion of events from its tests. It needs Docker and nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

COMPOSE = Path(__file__).with_name("compose.yml")

#: Runs in GlitchTip; `token` is put before it. It prints the address for events.
SETUP = """
from apps.api_tokens.models import APIToken
from apps.organizations_ext.models import Organization
from apps.projects.models import Project, ProjectKey
from apps.teams.models import Team
from apps.users.models import User

user = User.objects.create_user(email="tap@example.com", password=token)
organization = Organization.objects.create(name="acme", slug="acme")
organization.add_user(user)
team = Team.objects.create(slug="backend", organization=organization)
team.members.add(organization.organization_users.get(user=user))
for slug in ("shop", "quiet"):
    project = Project.objects.create(name=slug, slug=slug, organization=organization)
    team.projects.add(project)
    if slug == "shop":
        print("DSN", ProjectKey.objects.filter(project=project).first().get_dsn())
key = APIToken.objects.create(user=user, label="tap-sentry")
key.add_permissions(
    ["org:read", "project:read", "event:read", "team:read", "member:read"]
)
# GlitchTip made one up.
APIToken.objects.filter(pk=key.pk).update(token=token)
"""

#: More than two pages of GlitchTip, which have 50 rows.
EVENTS = 120
ISSUES = 7


def main() -> None:
    """Make the token work, and send events with dates of the last two hours."""
    (token,) = sys.argv[1:]
    dsn = urlsplit(set_up(token))
    store = f"{dsn.scheme}://{dsn.hostname}:{dsn.port}/api{dsn.path}/store/"
    now = datetime.now(UTC)
    for number in range(EVENTS):
        send(f"{store}?sentry_key={dsn.username}", event(number, now))
    sys.stdout.write(f"{EVENTS} events of {ISSUES} issues were sent\n")


def set_up(token: str) -> str:
    """Make user, organization, projects and token; the address for events."""
    shell = ["docker", "compose", "--file", str(COMPOSE), "exec", "--no-TTY"]
    output = subprocess.check_output(  # noqa: S603, these are ours
        [*shell, "glitchtip", "./manage.py", "shell"],
        input=f"token = {token!r}\n{SETUP}",
        text=True,
    )
    # Django tells there, too, what it imports by itself.
    (dsn,) = [line for line in output.splitlines() if line.startswith("DSN ")]
    return dsn.removeprefix("DSN ")


def event(number: int, now: datetime) -> dict[str, Any]:
    """An event like those that Sentry's SDKs send."""
    issue = number % ISSUES
    return {
        "event_id": uuid.uuid4().hex,
        "timestamp": (now - timedelta(minutes=number)).isoformat(),
        "platform": "python",
        "level": "error",
        "release": f"shop@1.{number % 3}",
        "environment": "production",
        "user": {"id": str(number % 5), "email": f"{number % 5}@example.com"},
        "tags": {"region": "eu", "number": str(number)},
        "exception": {
            "values": [
                {
                    "type": f"Error{issue}",
                    "value": "a pump does not answer \u2603",
                    "stacktrace": {
                        "frames": [
                            {
                                "filename": f"pump{issue}.py",
                                "function": f"pump_{issue}",
                                "lineno": 7,
                                "in_app": True,
                            }
                        ]
                    },
                }
            ]
        },
    }


def send(url: str, content: dict[str, Any]) -> None:
    """Post an event."""
    request = Request(  # noqa: S310, the address is GlitchTip's own
        url,
        data=json.dumps(content).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30):  # noqa: S310, likewise
        pass


if __name__ == "__main__":
    main()
