"""The estate's honest work: `python -m trial.workloads` runs it, a thread per session; a file per workload, base.py runs them."""
