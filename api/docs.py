"""The description of the API, for programs at /api/schema/ and for people at /api/docs/. Open to all: it is the contract, not the data."""

from __future__ import annotations

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_replace
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from accounts.allowed import PUBLIC


class Schema(SpectacularAPIView):
    needs = PUBLIC
    authentication_classes = []
    renderer_classes = [OpenApiJsonRenderer, OpenApiYamlRenderer]


class Docs(SpectacularSwaggerSplitView):
    needs = PUBLIC
    authentication_classes = []


# Swagger UI writes its own styles and HTML: inline styles and no Trusted Types, on this page alone. Scripts are ours, from files.
_POLICY = {"style-src": [SELF, UNSAFE_INLINE], "require-trusted-types-for": None, "trusted-types": None}

schema = Schema.as_view()
docs = csp_replace(_POLICY)(Docs.as_view(url_name="api-schema"))
