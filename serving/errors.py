"""What a client is told when its request cannot be answered; each class is one HTTP status.

RequestError
+-- UnknownModelError  404  no such model or version here
+-- BodyTooLargeError  413  send less
+-- WrongTypeError     415  send another format
+-- BadInputError      422  the format is known, its content is not usable
+-- UnavailableError   503  not ready, or too busy: try again or elsewhere
"""


class RequestError(Exception):
    """A request that is refused; the message is for the client: value, expectation, way out."""

    status = 400


class UnknownModelError(RequestError):
    """The path names a model or version that this server does not have."""

    status = 404


class BodyTooLargeError(RequestError):
    """The body, or the images in it, are over the limit."""

    status = 413


class WrongTypeError(RequestError):
    """The content type is none that this route reads."""

    status = 415


class BadInputError(RequestError):
    """The body cannot be read as the images that it claims to be."""

    status = 422


class UnavailableError(RequestError):
    """The server is loading, failed, or has more requests in flight than it takes."""

    status = 503
