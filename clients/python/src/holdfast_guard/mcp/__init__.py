"""The guard in front of tools that speak the Model Context Protocol: a proxy for any server, and adapters for servers of one's own.

`proxy.py` and `http.py` stand between a client and a server that know nothing of each other's guard; `messages.py` reads what passes,
`gate.py` asks about it, `pins.py` remembers what each tool said it was. `extension.py` and `middleware.py` are for servers written with
the `mcp` package. The proxy on stdio needs none of that package.
"""
