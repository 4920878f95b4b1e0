"""What a client is told when its request cannot be answered; each class is one HTTP status.

RequestError
+-- UnauthorizedError    401  no token, or a wrong one
+-- UnknownModelError    404  no such model or version here
+-- SlowRequestError     408  the request took too long to arrive
+-- BodyTooLargeError    413  send less
+-- WrongTypeError       415  send another format
+-- BadInputError        422  the format is known, its content is not usable
+-- ModelFailedError     500  the model gave no usable answer
+-- UnavailableError     503  not ready, or too busy: try again or elsewhere
+-- DeadlinePassedError  504  the answer would have come too late
"""


class RequestError(Exception):
    """A request that is refused; the message is for the client: value, expectation, way out."""

    status = 400


class UnauthorizedError(RequestError):
    """The route needs a token, and the request has none or a wrong one."""

    status = 401


class UnknownModelError(RequestError):
    """The path names a model or version that this server does not have."""

    status = 404


class SlowRequestError(RequestError):
    """The client did not send its request within the time that it has."""

    status = 408


class BodyTooLargeError(RequestError):
    """The body, or the images in it, are over the limit."""

    status = 413


class WrongTypeError(RequestError):
    """The content type is none that this route reads."""

    status = 415


class BadInputError(RequestError):
    """The body cannot be read as the images that it claims to be."""

    status = 422


class ModelFailedError(RequestError):
    """The model failed on this request; the message tells nothing of the inside, the log does."""

    status = 500


class UnavailableError(RequestError):
    """The server is loading, failed, unwell, or has more in flight than it takes."""

    status = 503


class DeadlinePassedError(RequestError):
    """The time that the client gave is over, and nothing was computed for it any more."""

    status = 504
