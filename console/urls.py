"""The pages of the console. Each module in pages/ lists its own addresses in `urlpatterns`; here they are only put one after the other."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from django.urls import URLPattern

from console import pages

urlpatterns: list[URLPattern] = [
    pattern
    for module in sorted(module.name for module in iter_modules(pages.__path__))
    for pattern in getattr(import_module(f"console.pages.{module}"), "urlpatterns", ())
]
