"""Give the package a README whose links work outside of the repository.

Hatchling runs this when it builds. PyPI shows the README, but has no other file of the
repository, so links to these become links to the commit that GitHub builds. Elsewhere
the README stays as it is.
"""

import os
import re
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import (  # type: ignore[import-not-found] # only builds have it
        MetadataHookInterface,
    )
except ModuleNotFoundError:  # in the tests, which build nothing
    MetadataHookInterface = object

#: The place before the target of a link to another file.
LINK = re.compile(r"(?<=\]\()(?!https:|#)(?=[^)\s]+\))")


def absolute(text: str, repository: str, commit: str) -> str:
    """Return a text whose links to files lead to a commit of a repository."""
    return LINK.sub(f"{repository}/blob/{commit}/", text)


class Readme(MetadataHookInterface):  # type: ignore[misc,valid-type]
    """The README as a part of the metadata."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the README to the metadata."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if "GITHUB_REPOSITORY" in os.environ:
            repository = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}".format_map(
                os.environ
            )
            text = absolute(text, repository, os.environ["GITHUB_SHA"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
