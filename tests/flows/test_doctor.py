"""`evergreen doctor` says what is there, and what to do about what is not."""

import importlib.metadata
import socket

from flows import doctor


def test_it_looks_at_everything(settings):
    found = dict(doctor.examine(settings))
    assert list(found) == ["python", "torch", "gpu", "docker", "router", "ports", "disk", "project"]
    assert all(found.values())
    assert found["ports"] == "ours or free"
    assert found["torch"].startswith(importlib.metadata.version("torch"))
    assert found["project"] == f"{settings.root}, state in {settings.home}"


def test_a_taken_port_is_told(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.stack.mlflow_port))
        taken.listen()
        assert "set stack.mlflow_port" in doctor.describe_ports(settings)


def test_a_missing_package_is_told():
    assert doctor.describe_package("evergreen-no-such-package").startswith("missing: `make setup` installs")


def test_no_container_engine_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "DOCKER_SOCKET", tmp_path / "docker.sock")
    assert doctor.describe_docker().startswith("no engine: ")
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "docker.sock"))
        assert "does not answer (Connection refused): start the engine" in doctor.describe_docker()
        engine.listen()
        assert doctor.describe_docker() == "an engine answers"


def test_gpus_are_those_that_the_driver_names(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.describe_gpu() == "none: training runs on the CPU"
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: Fast'\n")
    driver.chmod(0o755)
    assert doctor.describe_gpu() == "GPU 0: Fast"
    driver.write_text("#!/bin/sh\necho 'no devices'; exit 6\n")
    assert doctor.describe_gpu() == "nvidia-smi fails: no devices; training runs on the CPU"


def test_little_room_is_told(settings, monkeypatch):
    assert "make room" not in doctor.describe_disk(settings) or doctor.shutil.disk_usage("/").free < 5e9
    monkeypatch.setattr(doctor, "WANTED_FREE_BYTES", 1e18)
    assert "below 1000000000 GB, make room" in doctor.describe_disk(settings)
