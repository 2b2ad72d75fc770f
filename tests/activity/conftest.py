from tests.api.conftest import connected

__all__ = ["connected"]
