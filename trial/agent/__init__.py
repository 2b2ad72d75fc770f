"""The invoice agent: an AI agent as the trial needs one, with a plan in place of a model. `python -m trial.agent` is its process.

It reads documents and invoices, books and answers them, and does what their text tells it to: that is its weakness. Each thing it does goes
through a tool, and before every tool stands Holdfast's guard, as a proxy that neither the agent nor the tools know anything of.

planner.py decides what to do next, hands.py does it, sitting.py is its session at Holdfast, diary.py keeps what it was told, and life.py
joins them.
"""
