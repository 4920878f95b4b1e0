"""Forms as clients send them, damaged ones, and ones that are made to cost."""

import contextlib

import hypothesis
import pytest
from hypothesis import strategies as st

from serving.errors import BadInputError, BodyTooLargeError
from serving.multipart import read_parts

TYPE = "multipart/form-data; boundary=xyz"
DISPOSITION = 'Content-Disposition: form-data; name="file"'


def form(*parts: tuple[str, bytes], end: str = "--") -> bytes:
    """Return a form of parts, each a text of header lines and a content."""
    written = [b"--xyz\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n" for head, content in parts]
    return b"".join(written) + b"--xyz" + end.encode() + b"\r\n"


def read(body: bytes, content_type: str = TYPE, limit: int = 10) -> list[tuple[str, bytes]]:
    return read_parts(body, content_type, limit)


def test_parts_are_named_by_their_file_or_else_their_field():
    body = form(
        (DISPOSITION + '; filename="a;b.png"\r\nContent-Type: image/png', b"one"),
        (DISPOSITION, b"two"),
        ("Content-Type: image/png", b"three"),
        (DISPOSITION + '; filename="é.png"', b""),
    )
    assert read(body) == [("a;b.png", b"one"), ("file", b"two"), ("", b"three"), ("é.png", b"")]


@pytest.mark.parametrize(
    "content",
    [b"\r\n--xy", b"\r\n--xyzz", b"--xyz", b"\r\n", b"\r\n--xyz-", b"\r\n\r\n--", bytes(range(256)) * 100],
)
def test_content_that_looks_like_a_boundary_is_content(content):
    assert read(form((DISPOSITION, b"a" + content + b"b"))) == [("file", b"a" + content + b"b")]


@pytest.mark.parametrize(
    "content_type",
    ['multipart/form-data; boundary="xyz"', "Multipart/Form-Data; charset=utf-8; BOUNDARY=xyz"],
)
def test_a_boundary_may_be_written_in_several_ways(content_type):
    assert read(form((DISPOSITION, b"a")), content_type) == [("file", b"a")]


def test_what_stands_before_and_after_the_parts_is_of_no_effect():
    assert read(b"\r\n" + form((DISPOSITION, b"a")) + b"epilogue") == [("file", b"a")]


@pytest.mark.parametrize(
    ("body", "content_type", "sentence"),
    [
        (form((DISPOSITION, b"a")), "multipart/form-data", "content type 'multipart/form-data': expected multipart"),
        (form((DISPOSITION, b"a")), "multipart/form-data; boundary=", "expected multipart/form-data; boundary=..."),
        (form((DISPOSITION, b"a")), TYPE + "; x=" + "y" * 600, "expected multipart/form-data; boundary=..."),
        (form((DISPOSITION, b"a")), "multipart/form-data; boundary=" + "y" * 400, "the multipart body cannot be read"),
        (form((DISPOSITION, b"a")), "multipart/form-data; boundary=abc", "the multipart body cannot be read"),
        (form((DISPOSITION, b"a"), end=""), TYPE, "truncated multipart body: no closing boundary in "),
        (form((DISPOSITION, b"a"))[:-5], TYPE, "truncated multipart body: no closing boundary in "),
        (form((DISPOSITION, b"a"))[:30], TYPE, "truncated multipart body: no closing boundary in "),
        (form(), TYPE, "the multipart body has no part: send a file"),
        (b"text", TYPE, "the multipart body cannot be read"),
        (b"\x00" * 100, TYPE, "the multipart body cannot be read"),
        (form(("X: " + "y" * 5000, b"a")), TYPE, "the multipart body cannot be read: Maximum header size exceeded"),
        (form(("X: y\r\n" * 9 + DISPOSITION, b"a")), TYPE, "the multipart body cannot be read: Maximum header count"),
        (form(("no header", b"a")), TYPE, "the multipart body cannot be read"),
    ],
)
def test_refused_forms(body, content_type, sentence, caplog):
    with pytest.raises(BadInputError) as refused:
        read(body, content_type)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200
    assert not caplog.records  # a log is not the client's to fill


def test_one_part_too_many_ends_the_reading():
    parts = [(DISPOSITION, b"a")] * 5
    assert len(read(form(*parts), limit=5)) == 5
    with pytest.raises(BodyTooLargeError, match="the request has 5 images, the limit is 4"):
        read(form(*parts) + b"never read", limit=4)


PIECES = [b"--xyz", b"--", b"\r\n", b"\n", b":", b";", b"=", b'"', b"\xff", b"filename", DISPOSITION.encode()]


@hypothesis.settings(max_examples=300, derandomize=True, database=None, deadline=None)
@hypothesis.given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=3)).map(b"".join),
    st.sampled_from([TYPE, "multipart/form-data; boundary=-", 'multipart/form-data;;boundary="', "boundary=\xff;="]),
)
def test_whatever_comes_is_read_or_refused(body, content_type):
    with contextlib.suppress(BadInputError, BodyTooLargeError):
        assert read(b"--xyz\r\n" + body, content_type)
