"""A fresh process says what the trainer would find; the hardware class holds what the bits depend on."""

import pytest
import torch

from tasks.errors import ConfigError
from tasks.training import hardware
from tasks.training.hardware import cpu_fact, hardware_class, instruction_set
from tasks.training.machine import Machine, probe_machine


def test_it_is_what_the_trainer_finds(trained):
    machine = probe_machine(device="auto", threads=1)
    assert (machine.hardware, machine.versions) == (trained[0].hardware, trained[0].versions)
    assert machine.is_cuda_build == bool(torch.version.cuda)
    assert set(machine.versions) == {"python", "torch", "cuda", "cudnn", "libc", "numpy", "torchvision"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told():
    with pytest.raises(ConfigError, match=r"^training.device = 'cuda', but torch sees no GPU: set it to 'auto'"):
        probe_machine(device="cuda", threads=1)


def test_the_build_for_gpus_is_known_by_its_cuda():
    assert Machine({}, {"cuda": "12.8"}).is_cuda_build
    assert not Machine({}, {"cuda": "none"}).is_cuda_build


def test_the_class_of_a_cpu_is_its_instructions_and_threads():
    found = hardware_class(torch.device("cpu"), 3)
    assert set(found) == {"device", "machine", "vendor", "instructions", "threads"}
    assert found["threads"] == "3"
    assert found["instructions"].startswith(torch.backends.cpu.get_cpu_capability())


def test_a_gpu_counts_with_its_driver_and_the_cpu_beside_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(hardware, "driver_version", lambda: "580.1")
    found = hardware_class(torch.device("cuda"), 2)
    assert (found["device"], found["gpu"], found["driver"]) == ("cuda", "NVIDIA H200", "580.1")
    assert found.items() >= {**hardware_class(torch.device("cpu"), 2), "device": "cuda"}.items()


@pytest.mark.parametrize(
    ("text", "vendor", "flags"),
    [
        ("processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 fma ht\n", "GenuineIntel", "avx2 fma"),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 crc32\nCPU implementer\t: 0x41\n", "0x41", "asimd bf16"),
        ("processor\t: 0\n", "", ""),
    ],
    ids=["x86", "arm", "unknown"],
)  # fmt: skip
def test_the_processor_says_what_chooses_kernels(tmp_path, monkeypatch, text, vendor, flags):
    (tmp_path / "cpuinfo").write_text(text + text)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
    assert cpu_fact(hardware.VENDOR_KEYS) == vendor
    assert instruction_set() == " ".join(filter(None, [torch.backends.cpu.get_cpu_capability(), flags]))


def test_without_nvidias_tool_the_driver_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.driver_version() == "unknown (FileNotFoundError)"


def test_elsewhere_the_processor_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "missing")
    assert cpu_fact(hardware.VENDOR_KEYS) == ""
