"""The accounts room in Django: every sign-in is on record, whichever way in was used."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        user_logged_in.connect(_note, dispatch_uid="note-sign-in")


def _note(*, request: Any, user: Any, **_: Any) -> None:
    from accounts import people

    people.note_sign_in(user, how=getattr(request, "signed_in_by", "password"))
