"""What of a caller's variables reaches a training."""

import pytest

from tasks.training.environment import environment, foreign_variables, sealed_environment


@pytest.mark.parametrize(
    "name",
    [
        "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "MKL_CBWR", "MKL_VERBOSE",
        "KMP_AFFINITY", "OMP_SCHEDULE", "GOMP_CPU_AFFINITY", "ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_CUDNN_V8_API_DISABLED", "PYTORCH_TUNABLEOP_ENABLED",
        "NVIDIA_TF32_OVERRIDE", "CUBLASLT_WORKSPACE_SIZE", "CUDNN_LOGLEVEL_DBG", "GLIBC_TUNABLES",
    ],
)  # fmt: skip
def test_what_may_change_the_weights_is_left_out(name):
    assert foreign_variables({name: "1"}, 2) == [name]
    assert sealed_environment({name: "1"}, 2) == environment(2)


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "CUDA_VISIBLE_DEVICES", "PYTORCH_CUDA_ALLOC_CONF", "TORCH_HOME", "TORCH_LOGS"]
)
def test_what_cannot_is_handed_on(name):
    assert foreign_variables({name: "1"}, 2) == []
    assert sealed_environment({name: "1"}, 2) == {name: "1", **environment(2)}


def test_the_contracts_own_win():
    assert foreign_variables(environment(2), 2) == []
    assert sealed_environment({"OMP_NUM_THREADS": "7", "PYTHONHASHSEED": "1"}, 2) == environment(2)
