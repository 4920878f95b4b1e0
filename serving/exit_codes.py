"""How the server's process ends; 0 is stopped by SIGTERM or SIGINT, 2 wrong arguments."""

NO_MODEL = 1  # it could not be loaded, the log says why
BUNDLE_REFUSED = 3  # incomplete, altered, wrong golden answers: it takes another bundle, not another try
NO_PORT = 4  # the port cannot be had
