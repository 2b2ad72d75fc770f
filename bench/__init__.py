"""Measurements: each starts the product in a fresh folder, measures it from outside, and writes what it found into docs/performance.md."""
