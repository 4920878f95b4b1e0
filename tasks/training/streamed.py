"""Images that stream from their file: threads read a few blocks ahead, and on a GPU copy them beside the training."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from tasks.training.image_file import ImageFile
from tasks.training.pixels import Pixels

AHEAD = 2  # blocks that wait to be taken, besides the one that each thread reads

Arrival = tuple[Tensor, torch.cuda.Event | None]  # images on the device, once the event has come


class Streamed:
    """The images of a split, in their file."""

    rows_device = torch.device("cpu")

    def __init__(self, pixels: Pixels, workers: int, device: torch.device) -> None:
        self.pixels, self.workers, self.device = pixels, workers, device

    def read(self, blocks: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """Yield each block's images, in order; closing it ends the threads.

        Raises:
            DataError: the file cannot be read.
        """
        side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        coming: deque[Future[Arrival]] = deque()
        with self.pixels.open_file() as file, ThreadPoolExecutor(self.workers, "reader") as readers:
            try:
                for rows in blocks:
                    coming.append(readers.submit(self.load, file, rows, side))
                    if len(coming) > self.workers + AHEAD:
                        yield arrive(coming.popleft())
                while coming:
                    yield arrive(coming.popleft())
            finally:
                readers.shutdown(cancel_futures=True)

    def load(self, file: ImageFile, rows: Tensor, side: torch.cuda.Stream | None) -> Arrival:
        """Read a block, and start its copy to a GPU on the stream `side`; pinned memory is torch's to reuse."""
        shape = (len(rows), *self.pixels.images.shape[1:])
        block = torch.empty(shape, dtype=torch.uint8, pin_memory=side is not None)
        file.fill(block.numpy(), rows.numpy())
        if side is None:
            return block, None
        with torch.cuda.stream(side):
            return block.to(self.device, non_blocking=True), side.record_event()


def arrive(coming: Future[Arrival]) -> Tensor:
    """Return the images that a thread loads, usable on the current stream."""
    images, is_copied = coming.result()
    if is_copied is not None:
        current = torch.cuda.current_stream(images.device)
        current.wait_event(is_copied)
        images.record_stream(current)
    return images
