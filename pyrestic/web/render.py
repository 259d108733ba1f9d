"""Renders templates: every value is escaped, and every template can format lengths, times and names."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from pyrestic import __version__
from pyrestic.web import texts
from pyrestic.web.addresses import ROOT, address, below, short_id, with_query


class Renderer:
    """Renders pages; `shared` are values for all templates."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.environment = Environment(
            loader=PackageLoader("pyrestic.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {
            "bytes": texts.show_bytes,
            "change": texts.show_change,
            "count": texts.show_count,
            "time": texts.show_time,
            "machine_time": texts.machine_time,
            "name": texts.show_name,
            "text": texts.show_text,
            "kind": texts.show_kind,
            "mode": texts.show_mode,
            "short": short_id,
        }
        self.environment.globals |= {
            "version": __version__,
            "address": address,
            "below": below,
            "ROOT": ROOT,
            "with_query": with_query,
            "active": "",
            "search": "",
            **shared,
        }

    def text(self, template: str, **values: object) -> str:
        """Return a rendered template."""
        return self.environment.get_template(template).render(values)

    def page(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Return a response with a page."""
        return HTMLResponse(self.text(template, **values), status)

    def sentence(self, status: int, message: str, hint: str = "") -> HTMLResponse:
        """Return a page with a message and a hint."""
        return self.page("sentence.html", status, message=message, hint=hint)
