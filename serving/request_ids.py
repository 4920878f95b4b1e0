"""Request ids: by what a prediction is found again, in logs, in the prediction log, and by its feedback."""

import re

HEADER = "x-request-id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # fit for a log
