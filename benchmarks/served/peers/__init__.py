"""The other servers, each with the same prepared module; they run in an environment of their own."""

LARGE = 10_000  # values of an image: for more, MLflow is sent base64 instead of numbers
