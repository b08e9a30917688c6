"""The issues that the setting `issue_ids` names."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from tap_sentry.api import errors
from tap_sentry.records import bodies
from tap_sentry.sync.directory import id_and_slug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_sentry.records.bodies import Row
    from tap_sentry.streams.base import SentryStream


class ChosenIssues:
    """Looks up the issues of `issue_ids`, which are numbers or short ids."""

    def __init__(self, issues: SentryStream) -> None:
        """Request nothing yet.

        Args:
            issues: The stream of issues, whose children read events of chosen issues.
        """
        self._issues = issues
        self._run = issues.run

    @property
    def numbers(self) -> set[int]:
        """The issues that are named by their numbers."""
        names = self._run.settings.issue_ids
        return {int(name) for name in names if name.isdecimal()}

    @functools.cached_property
    def is_available(self) -> bool:
        """Whether the server can look up an issue; this requests all of them.

        Raises:
            FatalError: If there are short ids, and the server cannot look these up.
        """
        try:
            _ = self._found
        except errors.MissingEndpointError:
            return False
        return True

    def of(self, project: str) -> list[int]:
        """Return the issues of a project, by ascending id."""
        return sorted(self._found.get(project, ()))

    def known_of(self, project: str) -> list[int] | None:
        """Return the issues of a project; None before they have been looked up."""
        return self.of(project) if "_found" in self.__dict__ else None

    @functools.cached_property
    def _found(self) -> Mapping[str, set[int]]:
        """The issues by the id of their project."""
        found: dict[str, set[int]] = {}
        projects = self._projects()
        stream = next(child for child in self._issues.child_streams if child.selected)
        for name in dict.fromkeys(self._run.settings.issue_ids):
            one = {"issue_id": name}
            try:
                row = self._look_up(name)
            except errors.ForbiddenError as error:
                self._run.parts.deny(stream.name, one, error)
            except (errors.RejectedError, errors.TransientError) as error:
                self._run.parts.skip(stream.name, one, str(error))
            else:
                project = str((bodies.decode_value(row.get("project")) or {}).get("id"))
                if project in projects:
                    number = int(bodies.decode_value(row["id"]))
                    found.setdefault(project, set()).add(number)
                else:
                    reason = "its project is not part of this sync"
                    self._run.parts.skip(stream.name, one, reason)
        return found

    def _projects(self) -> set[str]:
        """Return the ids of the projects of this run."""
        directory = self._run.directory
        return {
            id_and_slug(row)[0]
            for organization in directory.ids("organization")
            for row in directory.rows("project", {"organization_id": organization})
        }

    def _look_up(self, name: str) -> Row:
        """Look up an issue in the organizations of this run.

        https://docs.sentry.io/api/organizations/resolve-a-short-id/

        Raises:
            FatalError: If the server cannot look up a short id.
            ForbiddenError: If access is denied.
            MissingEndpointError: If the server cannot look up an issue.
            RejectedError: If there is no such issue.
        """
        if name.isdecimal():
            try:
                return self._look_up_at(
                    "/organizations/{organization}/issues/{issue}/", name
                )
            except errors.MissingEndpointError:
                # Old servers look up an issue by its number alone.
                return self._issues.reader.fetch_row(
                    "/issues/{issue}/", {"issue_id": name}
                )
        try:
            return self._look_up_at(
                "/organizations/{organization}/shortids/{issue}/", name, "group"
            )
        except errors.MissingEndpointError:
            msg = (
                f"issue_ids: {name!r} is not the number of an issue, and this server "
                "cannot look up short ids"
            )
            raise errors.FatalError(msg) from None

    def _look_up_at(self, path: str, name: str, field: str | None = None) -> Row:
        missing: Exception = errors.RejectedError(
            "there is no such issue in the organizations of this run"
        )
        for organization in self._run.directory.ids("organization"):
            context = {"organization_id": organization, "issue_id": name}
            try:
                return self._issues.reader.fetch_row(path, context, field)
            except errors.RejectedError:
                continue
            except errors.ForbiddenError as error:
                missing = error
        raise missing
