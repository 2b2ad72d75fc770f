"""Ways into the pages for tests: signed in as somebody, and what a page says without its markup."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client

from accounts.models import Person
from tests import cast

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"
HTMX = {"HX-Request": "true"}


def signed_in(name: str) -> Client:
    cast.person(name)
    client = Client()
    client.force_login(Person.objects.get(username=name), backend=BACKEND)
    return client


def words(response: Any) -> str:
    """What stands in the page's own part: the shell around it says much the same everywhere."""
    page = response.content.decode()
    body = page[page.index('<main class="pane page"') : page.index("</main>")] if '<main class="pane page"' in page else page
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
