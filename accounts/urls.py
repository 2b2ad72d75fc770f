"""Under /accounts/: our sign-in link, then what django-allauth brings (sign-in, sign-out, passwords)."""

from __future__ import annotations

from django.urls import include, path

from accounts import views

urlpatterns = [
    path("link/<str:secret>/", views.sign_in_link, name="sign_in_link"),
    path("", include("allauth.account.urls")),
]
