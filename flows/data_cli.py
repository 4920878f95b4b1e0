"""`evergreen data`: add a labelled batch, see what the dataset holds, pin it as the baseline."""

from typing import Annotated

import typer

from flows.terminal import console, print_rows, showing_progress
from tasks import progress
from tasks.settings import load_settings

STAGE = "data"

app = typer.Typer(help="The dataset: add a batch, list it, pin it.", no_args_is_help=True)


def report(stage: str, done: int, total: int) -> None:
    """Show the data stage's progress."""
    progress.update(STAGE, done, total, stage)


@app.command()
def add(
    path: Annotated[str, typer.Argument(help="A folder with a folder for each class, Parquet, IDX, or their address.")],
) -> None:
    """Append the labelled images at PATH as a new batch; what is packed already is not rewritten."""
    from tasks.data.add import add_batch  # noqa: PLC0415  # imports pyarrow

    settings = load_settings()
    with showing_progress():
        added = add_batch(path, settings=settings.data, root=settings.root, home=settings.home, report=report)
    if not added.n_added:
        console.print(f"nothing added: {added.n_duplicate} images were there already, {added.n_quarantined} unusable")
        return
    rows = [("added", f"{added.n_added:,} images as {added.name}"), ("new shards", ", ".join(added.shards))]
    rows += [("there already", f"{added.n_duplicate:,}"), ("quarantined", f"{added.n_quarantined:,}")]
    print_rows([*rows, ("digest", added.digest), ("next", "`evergreen run` trains on it")])


@app.command(name="list")
def list_() -> None:
    """Show what the dataset holds: batches, splits, classes."""
    from tasks.data.listing import list_dataset  # noqa: PLC0415

    listing = list_dataset(load_settings().data_folder)
    rows = [("digest", listing.digest), ("size", f"{listing.size_bytes / 1e6:.1f} MB in {listing.folder}")]
    for batch in listing.batches:
        left_out = f", {batch.n_quarantined:,} quarantined, {batch.n_excluded:,} left out as copies"
        rows.append((batch.name, f"{batch.kind}, {batch.n_rows:,} images, shards: {batch.n_shards}{left_out}"))
    for split, counts in listing.counts.items():
        by_class = ", ".join(f"{name} {n:,}" for name, n in zip(listing.classes, counts, strict=True))
        rows.append((split, f"{sum(counts):,} ({by_class})"))
    print_rows(rows)


@app.command()
def restore(
    digest: Annotated[str | None, typer.Argument(help="A version, or how its digest begins; none: the newest.")] = None,
) -> None:
    """Bring a version of the dataset back from DVC's cache or its remote."""
    from tasks.data.versioning import restore_version  # noqa: PLC0415

    settings = load_settings()
    with showing_progress():
        dataset = restore_version(digest, settings=settings.data, root=settings.root, home=settings.home)
    console.print(f"{dataset.folder} holds {dataset.size:,} images, digest {dataset.digest}")


@app.command()
def pin() -> None:
    """Write data.dvc for the dataset as it is: the baseline that a fresh clone must arrive at. Commit it."""
    from tasks.data.prepare_dataset import prepare_dataset  # noqa: PLC0415
    from tasks.data.versioning import pin_dataset, version_dataset  # noqa: PLC0415

    settings = load_settings()
    with showing_progress():
        dataset = prepare_dataset(settings.data, root=settings.root, home=settings.home, report=report)
        version = version_dataset(dataset, root=settings.root, remote=settings.data.remote, home=settings.home)
    path = pin_dataset(version)
    console.print(f"{path} names digest {dataset.digest}: commit it, and every clone must arrive there")
