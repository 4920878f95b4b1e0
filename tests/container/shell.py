"""A shell for the docker commands of docs/serving.md: as they stand there, but for images' names, ports and the end."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.models.containers import Container

from tests.docs.pages import Block, page

BLOCK_TIMEOUT_S = 1800
_SERVER, _MODEL, _VOLUME = "evergreen-server", "fashion-mnist:3", "fashion-mnist-logs"
_LABEL = "evergreen-container-test"

# Without a registry the base image is one that was made here; without a network the packages lie in build/packages.
_WRAPPER = """
docker() {
    local verb=$1; shift
    case $verb in
        build) command docker build --force-rm --build-arg BASE_IMAGE=$BASE --build-arg SERVER_IMAGE=$SERVER "$@";;
        run) command docker run --detach --label $LABEL $RUN_OPTIONS "$@";;
        *) command docker $verb "$@";;
    esac
}
"""


@dataclass(frozen=True)
class DockerShell:
    """Types blocks of the page in `folder`, where `BUNDLE` is a bundle."""

    folder: Path
    engine: docker.DockerClient
    base_image: str
    server_image: str = "evergreen-test-server"
    model_image: str = "evergreen-test-model:3"
    volume: str = "evergreen-test-logs"

    def type(self, block: Block, *run_options: str) -> str:
        """Run a block's commands and return the last line that they printed; none may fail."""
        text = block.text.replace("8080:8080", "127.0.0.1::8080")
        names = {_SERVER: self.server_image, _MODEL: self.model_image, _VOLUME: self.volume}
        for name, own in names.items():
            text = text.replace(name, own)
        done = subprocess.run(
            ["bash", "-euc", _WRAPPER + text],
            cwd=self.folder,
            env={
                **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "DOCKER_HOST")},
                "DOCKER_BUILDKIT": "0",
                "BASE": self.base_image,
                "SERVER": self.server_image,
                "LABEL": _LABEL,
                "RUN_OPTIONS": " ".join(run_options),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{block} ended {done.returncode}:\n{text}\n{done.stdout}"
        return done.stdout.splitlines()[-1]

    def start(self, block: Block, *run_options: str) -> Container:
        """Run a block that starts a container, which stays until `clean_up`."""
        return self.engine.containers.get(self.type(block, *run_options))

    def clean_up(self) -> None:
        """Remove the containers and volumes; the images stay, for the next session builds on their layers."""
        for container in self.engine.containers.list(all=True, filters={"label": _LABEL}):
            container.remove(force=True, v=True)
        for volume in self.engine.volumes.list(filters={"name": self.volume}):
            volume.remove()


def find_block(start: str) -> Block:
    """Return the one block of the page whose commands begin like this."""
    (block,) = (each for each in page("docs/serving.md").blocks if re.match(re.escape(start), each.text))
    return block
