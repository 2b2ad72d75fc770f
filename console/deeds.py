"""Doing what a form asks for: one call, then a notice that says what happened, or the refusal's own sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from accounts.actors import ActorRequest
from console import frame
from console.refusals import of_form
from core.refusals import BadInput, Refusal

Done = TypeVar("Done")
LONGEST_REASON = 2000


class ReasonForm(forms.Form):
    """A person's reason. Whether one is needed, the deed itself says."""

    reason = forms.CharField(
        required=False, max_length=LONGEST_REASON, error_messages={"max_length": f"At most {LONGEST_REASON} characters."}
    )


def reason_of(request: HttpRequest) -> str:
    """What was typed for a reason; BadInput where it is too long, or nothing that can be kept."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        raise of_form(form)
    return str(form.cleaned_data["reason"])


def tried(request: HttpRequest, deed: Callable[[], Done], *, said: str) -> Done | None:
    """What the deed gives, after a notice; None where it was refused, after another."""
    try:
        done = deed()
    except Refusal as refusal:
        messages.error(request, refusal.sentence)
        return None
    messages.success(request, said)
    return done


def faults_of(refusal: Refusal) -> list[tuple[str, str]]:
    """Path and sentence of everything that is wrong, for a form that is shown again."""
    if isinstance(refusal, BadInput):
        return [(fault.path, fault.detail) for fault in refusal.faults]
    return [("", refusal.sentence)]


def page_or_part(request: ActorRequest, page: str, part: str, facts: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """The whole page in its shell, or only its list for htmx. Caches keep the two apart."""
    show = frame.fragment if request.htmx else frame.show
    answer = show(request, part if request.htmx else page, facts, status=status)
    patch_vary_headers(answer, ["HX-Request"])
    return answer
