"""A copy of the project in a folder of its own, with the real settings shrunk and a stack on free ports."""

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SOURCE = Path(__file__).parents[2]
EVERGREEN = Path(sys.executable).with_name("evergreen")
COMMAND_TIMEOUT_S = 400


@dataclass(frozen=True)
class Project:
    """A project at `root`; `variables` shrink its settings and move its stack."""

    root: Path
    variables: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process of this project."""
        return {**os.environ, **self.variables}

    @property
    def home(self) -> Path:
        """Where its local state is."""
        return Path(self.variables["EVERGREEN_HOME"])

    @property
    def router_url(self) -> str:
        return f"http://127.0.0.1:{self.variables['EVERGREEN_STACK__ROUTER_PORT']}"

    @property
    def mlflow_url(self) -> str:
        return f"http://127.0.0.1:{self.variables['EVERGREEN_STACK__MLFLOW_PORT']}"

    @property
    def prefect_url(self) -> str:
        return f"http://127.0.0.1:{self.variables['EVERGREEN_STACK__PREFECT_PORT']}"

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start an `evergreen` command, its output in pipes, in a session of its own."""
        return subprocess.Popen(
            [EVERGREEN, *arguments],
            cwd=self.root,
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def evergreen(self, *arguments: str, expect: int = 0, **variables: str) -> str:
        """Run an `evergreen` command, check its exit code, and return all it printed."""
        with self.start(*arguments, **variables) as process:
            stdout, stderr = process.communicate(timeout=COMMAND_TIMEOUT_S)
        output = stdout + stderr
        assert process.returncode == expect, f"evergreen {' '.join(arguments)} ended {process.returncode}:\n{output}"
        return output

    def status(self) -> dict[str, Any]:
        """Return `evergreen status --json`."""
        return dict(json.loads(self.evergreen("status", "--json")))

    def predict(self, image: Path) -> httpx.Response:
        """Send an image file through the router."""
        headers = {"content-type": "application/octet-stream"}
        return httpx.post(f"{self.router_url}/predict", content=image.read_bytes(), headers=headers, trust_env=False)

    def git_status(self) -> str:
        """Return what git sees changed."""
        return git(self.root, "status", "--porcelain")


def copy_project(root: Path, data: Path) -> Project:
    """Copy what git knows of this project to `root`, commit it there, and train on the IDX folder `data`."""
    copy_files(root)
    (root / "data.dvc").unlink()  # the pinned baseline is of the full dataset
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(
        root, "-c", "user.name=test", "-c", "user.email=test@example.invalid", "commit", "--quiet", "--message", "start"
    )
    ports = dict(zip(("PREFECT", "MLFLOW", "ROUTER", "ROUTER_ADMIN"), free_ports(4), strict=True))
    return Project(
        root,
        {
            "EVERGREEN_HOME": str(root.parent / "home"),
            "EVERGREEN_DATA__SOURCES": json.dumps([{"kind": "idx", "location": str(data), "name": "photos"}]),
            "EVERGREEN_TRAINING__EPOCHS": "3",
            "EVERGREEN_GATES__MIN_ACCURACY": "0.6",
            "EVERGREEN_GATES__MIN_CLASS_RECALL": "0.1",
            "EVERGREEN_GATES__MAX_ACCURACY_DROP": "0.2",
            **{f"EVERGREEN_STACK__{name}_PORT": str(port) for name, port in ports.items()},
        },
    )


def copy_files(root: Path) -> None:
    """Copy what git knows of this project, as it is now, to `root`."""
    listed = git(SOURCE, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (SOURCE / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, root / name)


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]
    finally:
        for probe in sockets:
            probe.close()
