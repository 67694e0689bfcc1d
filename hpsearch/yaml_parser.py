"""A YAML parser that refuses what no configuration needs, before anything is built from it.

Imported where a file is read, so that ruamel.yaml is loaded only then.
"""

from __future__ import annotations

from typing import Any
from unicodedata import category

from ruamel.yaml import events
from ruamel.yaml.parser import Parser

MAX_DEPTH = 20


class Refused(Exception):
    """The text holds a feature that is not allowed; the message begins with its line."""


class CheckedParser(Parser):
    """Refuses tags, aliases, control characters, deep nesting, and a second document."""

    depth = documents = 0

    def get_event(self) -> Any:
        """Return the next event.

        Raises:
            Refused: The event is one of a feature that is not allowed.
        """
        event = super().get_event()
        if (reason := self._refusal(event)) is not None:
            where = f"line {event.start_mark.line + 1}" if event.start_mark else "?"
            raise Refused(f"{where}: {reason}")
        return event

    def _refusal(self, event: Any) -> str | None:
        """Return why an event is refused, and count the depth."""
        if isinstance(event, events.ScalarEvent | events.CollectionStartEvent) and event.tag:
            return f"tags ({event.tag}) are not allowed"
        if isinstance(event, events.ScalarEvent):
            strange = _strange(event.value)
            return f"the character {strange!a} is not allowed" if strange else None
        if isinstance(event, events.AliasEvent):
            return "aliases (*name) are not allowed; write it out"
        if isinstance(event, events.CollectionStartEvent):
            self.depth += 1
            return f"nested more than {MAX_DEPTH} deep" if self.depth > MAX_DEPTH else None
        if isinstance(event, events.CollectionEndEvent):
            self.depth -= 1
        elif isinstance(event, events.DocumentStartEvent):
            self.documents += 1
            if event.version not in (None, (1, 2)):
                return "not YAML 1.2; remove the %YAML line"
            if self.documents > 1:
                return "a second document; keep one per file"
        return None


def _strange(text: str) -> str | None:
    """Return the first control character or lone surrogate: neither can be shown or saved."""
    if text.isprintable():
        return None
    kinds = {"Cc", "Cs"}
    return next((c for c in text if category(c) in kinds and c not in "\n\t"), None)
