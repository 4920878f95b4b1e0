"""`python -m serving --bundle DIR --model-name NAME --model-version V`: serve one bundle over HTTP."""

import logging
import os
import sys

from serving.logs import configure_logging
from serving.server import serve
from serving.settings import parse_settings


def main() -> int:
    """Run the server and return the process's exit code; `serving.server` lists them."""
    settings = parse_settings(sys.argv[1:], os.environ)
    configure_logging(settings.log_level)
    return serve(settings)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # not sys.exit, which would wait for a thread that still imports torch or runs a lost request
