"""Links between pages work on GitHub, and on PyPI, which shows the README alone."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from scripts.readme_of_the_package import absolute

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / ".github").glob("*.md")),
]
REPOSITORY = "https://github.example.com/acme/tap-sentry"

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def links(text: str) -> list[str]:
    """The targets of the links of a page, outside of blocks of code."""
    return [inline or below for inline, below in LINK.findall(FENCE.sub("", text))]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE
    )
    seen: Counter[str] = Counter()
    found = set()
    for heading in headings:
        text = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{text}-{seen[text]}" if seen[text] else text)
        seen[text] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    """Every relative link leads to a file of the repository, and to a heading in it."""
    for link in links(page.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme():
    """A reader of the README finds every page of docs/."""
    linked = {link.partition("#")[0] for link in links(README)}

    assert linked >= {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}


def test_the_package_has_links_that_work_everywhere():
    """Links of the README that PyPI shows lead to the repository, or stay on it."""
    text = absolute(README, REPOSITORY, "v1.2.3")
    before, after = links(README), links(text)

    assert "docs/settings.md#scopes" in before
    assert f"{REPOSITORY}/blob/v1.2.3/docs/settings.md#scopes" in after
    assert all(link.startswith(("https://", "#")) for link in after)
    for old, new in zip(before, after, strict=True):
        is_ours = not old.startswith(("https://", "#"))
        assert new == (f"{REPOSITORY}/blob/v1.2.3/{old}" if is_ours else old)
    # Nothing but links is changed.
    assert text.replace(f"{REPOSITORY}/blob/v1.2.3/", "") == README


def test_the_package_is_built_with_that_readme():
    """The build takes the README from the script."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (hook,) = project["tool"]["hatch"]["metadata"]["hooks"].values()

    assert "readme" in project["project"]["dynamic"]
    assert (ROOT / hook["path"]).stem == absolute.__module__.rpartition(".")[2]
