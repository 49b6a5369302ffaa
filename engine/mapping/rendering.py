"""A template that Jinja itself renders, compiled when it is first wanted: to import Jinja takes longer than all the rest."""

from functools import cached_property
from typing import Any


class Rendering:
    """The text of a template, called with the values of its names."""

    def __init__(self, text: str):
        self.text = text

    def __call__(self, **names: Any) -> str:
        rendered: str = self.render({name: value for name, value in names.items() if value is not None})
        return rendered

    def __reduce__(self) -> Any:
        return Rendering, (self.text,)

    @cached_property
    def render(self) -> Any:
        """Raises TemplateSyntaxError."""
        from .templates import ENVIRONMENT

        return ENVIRONMENT.from_string(self.text).render
