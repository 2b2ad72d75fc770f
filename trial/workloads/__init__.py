"""The estate's honest work: `python -m trial.workloads` runs it, a thread per session; a file per workload, base.py runs them.

The invoice agent is a process of its own (trial/agent/); the mail server of the estate runs here.
"""
