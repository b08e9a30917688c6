"""`--about` as text: what the SDK tells, and what the settings mean."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from singer_sdk.about import AboutFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.about import AboutInfo

#: Columns of a line.
WIDTH = 88


#: The format, as the SDK knows it.
EXPLAINED = "explained"


class ExplainedFormatter(AboutFormatter, format_name=EXPLAINED):
    """Like the SDK's text, which gives a setting neither meaning nor default."""

    def format_about(self, about_info: AboutInfo) -> str:
        """The whole of it."""
        settings = about_info.settings
        required = settings.get("required", [])
        lines = [
            f"Name: {about_info.name}",
            f"Description: {about_info.description}",
            f"Version: {about_info.version}",
            f"SDK Version: {about_info.sdk_version}",
            "Supported Python Versions:",
            *(f"  - {name}" for name in about_info.supported_python_versions or ()),
            "Capabilities:",
            *(f"  - {capability}" for capability in about_info.capabilities),
            "Settings:",
        ]
        for name, schema in settings["properties"].items():
            variable = about_info.env_var_prefix + name.upper()
            lines += [
                f"  - Name: {name}",
                f"    Type: {type_of(schema)}",
                f"    Environment Variable: {variable}",
                *(["    Required: yes"] if name in required else []),
                *(["    Secret: yes"] if schema.get("secret") else []),
                *default_of(schema),
                *described(schema),
            ]
        return "\n".join(lines)


def type_of(schema: dict[str, Any]) -> str:
    """The type of a setting; all but the required one may be null."""
    kinds = [kind for kind in schema["type"] if kind != "null"]
    return " or ".join(kinds)


def default_of(schema: dict[str, Any]) -> Iterator[str]:
    """The default as JSON, if there is one."""
    if schema.get("default") is not None:
        yield f"    Default: {json.dumps(schema['default'])}"


def described(schema: dict[str, Any]) -> list[str]:
    """What the setting means, on as many lines as it takes."""
    text = " ".join(schema.get("description", "").split())
    return textwrap.wrap(
        f"Description: {text}", WIDTH, initial_indent=4 * " ", subsequent_indent=6 * " "
    )
