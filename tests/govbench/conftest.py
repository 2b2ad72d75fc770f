"""A web server on the test database: what is tried here goes over HTTP, through the client of this repository."""

from tests.browser.conftest import server

__all__ = ["server"]
