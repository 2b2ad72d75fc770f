"""Connectors act on one outside system each. They run without Django and know nothing of runs or holds."""
