"""Scenarios of AgentGovBench, and our own in the same form, played against the guard.

`reading.py` reads a file of them, `house.py` brings what a scenario needs into the product (inventory, agent profiles, scope rules, and
the word of two people), `playing.py` does its actions through the real client over HTTP, `checking.py` compares what is expected with the
answers and with what is on record.
"""
