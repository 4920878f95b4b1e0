"""What waits to be recorded: a queue bounded by count and by bytes, which holds references and copies nothing.

One thread puts, another takes. There is no lock: each side counts its own bytes.
"""

from collections import deque

from serving.record_lines import Answered

MAX_ENTRIES = 4096  # requests and lines
MAX_BYTES = 64_000_000  # of images, answers and lines; an entry alone may have more

_PIECE_RECORDS = 32  # that are measured and written together
_PIECE_VALUES = 1 << 18  # of pixels, over all channels; a larger image is a piece alone

Entry = Answered | bytes  # a request with its answer, or a line as it will stand in the log
Row = tuple[Answered, int]  # an image of a request, by its place


class RecordQueue:
    """Entries, taken out in small pieces: images in their order, and lines in theirs."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._rows: deque[Row] = deque()  # of the request that is being taken
        self._put_bytes = 0
        self._taken_bytes = 0

    def __len__(self) -> int:
        """The number of records that wait."""
        return len(self._rows) + sum(count_records(entry) for entry in list(self._entries))

    def put(self, entry: Entry) -> bool:
        """Add an entry if there is room, and say whether there was."""
        size, waiting = _size(entry), self._put_bytes - self._taken_bytes
        if len(self._entries) >= MAX_ENTRIES or (waiting > 0 and waiting + size > MAX_BYTES):
            return False
        self._put_bytes += size
        self._entries.append(entry)
        return True

    def take_piece(self) -> tuple[list[Row], list[bytes]]:
        """Take the next few images, and the lines that came between them; nothing of both where nothing waits."""
        rows: list[Row] = []
        lines: list[bytes] = []
        values = 0
        while len(rows) + len(lines) < _PIECE_RECORDS and values < _PIECE_VALUES and (self._rows or self._entries):
            if self._rows:
                answered, index = self._rows.popleft()
                rows.append((answered, index))
                values += answered.images[index].size
                continue
            entry = self._entries.popleft()
            self._taken_bytes += _size(entry)
            if isinstance(entry, bytes):
                lines.append(entry)
            else:
                self._rows.extend((entry, index) for index in range(len(entry.images)))
        return rows, lines


def count_records(entry: Entry) -> int:
    """Return how many records an entry becomes."""
    return 1 if isinstance(entry, bytes) else len(entry.images)


def _size(entry: Entry) -> int:
    if isinstance(entry, bytes):
        return len(entry)
    answers = entry.prediction.probabilities.nbytes + entry.prediction.embeddings.nbytes
    return answers + sum(image.nbytes for image in entry.images)
