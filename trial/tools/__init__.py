"""The tools of the invoice agent: MCP servers as any other, which know nothing of Holdfast. The guard stands before them, as a proxy.

`python -m trial.tools` serves all of them over stdio; documents.py, desk.py and mail.py hold what each does.
"""
