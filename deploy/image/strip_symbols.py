"""Shorten shared libraries by what only linkers and debuggers read: the symbol table and the list of sections.

Loading needs neither: symbols that other libraries use are in a table of their own, inside the segments. Of torch's
434 MB libtorch_cpu.so it is 89 MB. Does what `sstrip` does, for ELF of 64 bits, little-endian; others stay as they are.

Source: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
"""

import struct
from pathlib import Path

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16x2xHIQQQIHHHHHH")  # from e_machine on
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTIONS_OFFSET, _SECTIONS_COUNT = 40, 60  # of e_shoff, and of e_shnum with e_shstrndx


def strip_symbols(path: Path) -> int:
    """Write a library anew without what follows its segments, and return how many bytes it is shorter."""
    data = path.read_bytes()
    end = _end_of_segments(data)
    if end is None or end >= len(data):
        return 0
    kept = bytearray(data[:end])
    struct.pack_into("<Q", kept, _SECTIONS_OFFSET, 0)
    struct.pack_into("<HH", kept, _SECTIONS_COUNT, 0, 0)
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(kept)
    draft.chmod(path.stat().st_mode)
    draft.replace(path)
    return len(data) - end


def _end_of_segments(data: bytes) -> int | None:
    """Return where the last segment ends; None of a file that is no such library."""
    if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER.size:
        return None
    _, _, _, first, _, _, header_bytes, each, count, *_ = _HEADER.unpack_from(data)
    ends = [header_bytes, first + each * count]
    for number in range(count):
        _, _, offset, _, _, size, _, _ = _SEGMENT.unpack_from(data, first + each * number)
        ends.append(offset + size)
    return max(ends)
