"""How many images one request may have, and of how many pixels."""

from serving.errors import BodyTooLargeError


def check_count(count: int, max_images: int) -> None:
    """Refuse more images than one request may have, before any of them is looked at.

    Raises:
        BodyTooLargeError: more than `max_images`.
    """
    if count > max_images:
        raise BodyTooLargeError(f"the request has {count} images, the limit is {max_images}: send several requests")


def check_pixels(pixels: int, max_pixels: int) -> None:
    """Refuse images that together would take too much memory.

    Raises:
        BodyTooLargeError: more than `max_pixels` in all.
    """
    if pixels > max_pixels:
        raise BodyTooLargeError(f"the images have {pixels} pixels together, the limit is {max_pixels}")
