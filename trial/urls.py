"""The pages of the trial. config/urls.py includes them where settings.TRIAL is set."""

from __future__ import annotations

from trial.pages import urlpatterns

__all__ = ["urlpatterns"]
