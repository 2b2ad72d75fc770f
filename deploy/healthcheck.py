"""Is the web server in this container ready (or, with `livez`, alive)? Exit 0 or 1. Standard library only.

The server answers to the host name of HOLDFAST_ORIGIN alone, so this asks by that name.
"""

from __future__ import annotations

import http.client
import os
import sys
from urllib.parse import urlsplit


def answer(path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=4)
    host = urlsplit(os.environ.get("HOLDFAST_ORIGIN", "")).netloc or "127.0.0.1:8000"
    try:
        connection.request("GET", path, headers={"Host": host})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(answer(f"/{sys.argv[1] if len(sys.argv) > 1 else 'readyz'}") != 200)
