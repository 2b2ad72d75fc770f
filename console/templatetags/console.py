"""Words that templates use: icons, moments, time left, risk. `{% load console %}`.

Each returns finished, escaped HTML with classes only, so that pages stay short and the content security policy has nothing to refuse.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django import template
from django.conf import settings
from django.template.context import Context
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

ICON_SPRITE = "vendor/tabler-icons/3.51.0/sprite.svg"
ICONS_OF_KINDS = {
    "human": "user",
    "service_account": "key",
    "workload": "cube",
    "ci_pipeline": "git-branch",
    "ai_agent": "robot",
}
ICONS_OF_STEPS = {
    "waiting": "circle-dashed",
    "acting": "refresh",
    "done": "circle-check",
    "failed": "circle-x",
    "undone": "arrow-back-up",
    "skipped": "circle",
}
MODULES = Path(__file__).resolve().parents[2] / "static" / "js"


@register.simple_tag
def icon(name: str, extra_class: str = "") -> SafeString:
    """`{% icon "robot" %}`: decoration; the words beside it, or an aria-label around it, say the same."""
    css_class = f"icon {extra_class}".strip()
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}#{}"/></svg>', css_class, static(ICON_SPRITE), name)


@register.simple_tag
def sprite_url() -> str:
    return static(ICON_SPRITE)


@register.simple_tag
def avatar(kind: str) -> SafeString:
    """The square that says what kind of identity this is."""
    words = str(kind).replace("_", " ")
    drawing = icon(ICONS_OF_KINDS.get(str(kind), "help-circle"))
    return format_html(
        '<span class="avatar" data-kind="{}" title="{}">{}<span class="unseen">{}</span></span>', kind, words, drawing, words
    )


@register.simple_tag
def step_icon(state: str) -> SafeString:
    return icon(ICONS_OF_STEPS.get(str(state), "circle"))


@register.simple_tag
def time_left(until: datetime, total: float = 900, say: str = "") -> SafeString:
    """How long until `until`, counting down; `say` is what people who listen hear at five minutes and at one: "the hold on etl_reader"."""
    return format_html(
        '<time-left role="timer" data-until="{}" data-total="{}" data-say="{}" title="{}">{}</time-left>',
        f"{until.timestamp():.0f}",
        f"{float(total):.0f}",
        say,
        f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{until.astimezone(UTC):%H:%M:%S}",
    )


@register.simple_tag
def ring(until: datetime, total: float = 900, say: str = "") -> SafeString:
    """The same, inside a ring that empties over `total` seconds."""
    return format_html(
        '<div class="ring"><svg viewBox="0 0 84 84" aria-hidden="true"><circle cx="42" cy="42" r="36"/>'
        '<circle class="ring-left" cx="42" cy="42" r="36" stroke-dasharray="226"/></svg>{}</div>',
        time_left(until, total, say),
    )


@register.simple_tag
def moment(at: datetime | None, show: str = "full") -> SafeString:
    """A moment in UTC. `show`: "full" (date and time), "clock" (time), "date". The whole of it is in the title."""
    if at is None:
        return mark_safe('<span class="faint">never</span>')
    at = at.astimezone(UTC)
    words = {"full": f"{at:%Y-%m-%d %H:%M:%S}", "clock": f"{at:%H:%M:%S}", "date": f"{at:%Y-%m-%d}"}[show]
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", words)


@register.simple_tag
def risk(number: float, soft: float, hard: float) -> SafeString:
    """The number in the colour of the threshold it passed; the word goes to people who listen."""
    level, words = level_of(number, soft, hard)
    return format_html(
        '<span class="risk" data-level="{}" title="risk {}, {}"><span class="unseen">Risk </span>{}<span class="unseen">, {}</span></span>',
        level,
        f"{number:g}",
        words,
        f"{number:.1f}",
        words,
    )


def level_of(number: float, soft: float, hard: float) -> tuple[str, str]:
    if number >= hard:
        return "high", "over the hard threshold"
    if number >= soft:
        return "middle", "over the soft threshold"
    return "low", "under the soft threshold"


@register.filter
def words(value: object) -> str:
    """`service_account` as people say it."""
    return str(value).replace("_", " ")


@register.filter
def initials(name: object) -> str:
    parts = str(name).replace(".", " ").replace("_", " ").replace("-", " ").split()
    return "".join(part[0] for part in (parts[:1] + parts[-1:] if len(parts) > 1 else parts[:1])).upper() or "?"


@register.simple_tag(takes_context=True)
def server_now(context: Context) -> int:
    """Milliseconds since 1970, from `server_now` in the context (the database's clock) or else this machine's."""
    given: Any = context.get("server_now")
    return int((given.timestamp() if isinstance(given, datetime) else time.time()) * 1000)


@register.simple_tag
def theme_of(request: Any) -> SafeString:
    """`data-theme="dark"` if this person chose a theme; nothing if the system decides."""
    chosen = getattr(request, "COOKIES", {}).get("theme")
    return format_html('data-theme="{}"', chosen) if chosen in {"light", "dark"} else SafeString("")


@register.simple_tag
def module_map() -> SafeString:
    """The import map: modules import each other by their plain names, and browsers load the files whose names carry a digest."""
    base = settings.STATIC_URL + "js/"
    imports = {f"{base}{module.name}": static(f"js/{module.name}") for module in sorted(MODULES.glob("*.js"))}
    return mark_safe(json.dumps({"imports": imports}).replace("<", "\\u003c"))  # noqa: S308 - our own file names, "<" escaped
