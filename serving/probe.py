"""Docker's health check: exit code 0 if this container's server is ready, 1 if it is not or does not answer.

Needs the standard library alone, and is run without site packages: it starts every few seconds beside the server.
"""

import http.client
import os
import sys
from collections.abc import Mapping

_TIMEOUT_S = 2


def is_ready(variables: Mapping[str, str]) -> bool:
    """Ask the server that is set by these variables; health is on the port for operators, if there is one."""
    port = int(variables.get("SERVING_ADMIN_PORT") or 0) or int(variables["SERVING_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)  # asks no proxy, as urllib would
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(not is_ready(os.environ))
