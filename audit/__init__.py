"""Audit: who did what to which thing, written once. Under all rooms that move."""
