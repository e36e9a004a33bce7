"""What a device is called, what it can compute in and which software drives it: for reports and fingerprints."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from literatim.device.backend import REFUSALS, ask
from literatim.device.host import version
from literatim.options import DTYPES

if TYPE_CHECKING:
    import torch

# Environment variables that change a figure or a number; their values belong in every report.
ENVIRONMENT: tuple[str, ...] = (
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_LAUNCH_BLOCKING",
    "ASCEND_HOME_PATH",
    "TASK_QUEUE_ENABLE",
    "PYTORCH_NPU_ALLOC_CONF",
    "INF_NAN_MODE_ENABLE",
    "TORCH_NPU_USE_COMPATIBLE_IMPL",
    "TORCH_NPU_FALLBACK_CPU_DISABLE",
    "TORCH_TRANSFER_TO_NPU",
    "ACL_OP_COMPILER_CACHE_DIR",
    "ACL_OP_COMPILER_CACHE_MODE",
    "CPU_AFFINITY_CONF",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "TORCH_CUDNN_V8_API_DISABLED",
    "HIP_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO",
    "PYTORCH_MPS_FAST_MATH",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
    "LITERATIM_GRAPHS",
    "LITERATIM_KERNELS",
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "GOMP_CPU_AFFINITY",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_CBWR",
    "ONEDNN_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ATEN_CPU_CAPABILITY",
    "KMP_AFFINITY",
    "KMP_BLOCKTIME",
    "LD_PRELOAD",
)
_NVIDIA = Path("/proc/driver/nvidia/version")
_ASCEND_DRIVER = Path("/usr/local/Ascend/driver/version.info")


def name_of(device: torch.device) -> str | None:
    """What the driver calls the device; None for the CPU and where none is told."""
    if device.type == "cpu":
        return None
    name = ask(device.type, "get_device_name", device)
    return None if name is None else str(name)


def dtypes(device: torch.device) -> tuple[str, ...]:
    """Which of the dtypes that `--dtype` takes work: a product of two small matrices in each, checked."""
    return tuple(name for name in DTYPES if name != "auto" and _multiplies(name, device))


def packs_linear(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN takes weights of this dtype that it has laid out beforehand: torch's CPU builds, mostly."""
    import torch

    if device.type != "cpu" or not torch._C._has_mkldnn:
        return False
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def multiplies_int8(device: torch.device) -> bool:
    """Whether int8 products are faster than reading four times the bytes: CPUs with AVX-512 and VNNI, by oneDNN.

    Without VNNI its sums of pairs saturate at 16 bits.
    """
    import torch

    if device.type != "cpu" or not torch._C._has_mkldnn or not hasattr(torch.ops.onednn, "qlinear_pointwise"):
        return False
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and bool(torch.cpu._is_vnni_supported())


def threads() -> int:
    """Threads that torch uses within one operation on the CPU."""
    import torch

    return torch.get_num_threads()


def versions(device: torch.device) -> dict[str, str | None]:
    """`torch`, `backend` (its package), `toolkit` (CANN, CUDA, ...) and `driver`; None where none is told."""
    import torch

    found: dict[str, str | None] = {"torch": torch.__version__, "backend": None, "toolkit": None, "driver": None}
    if device.type == "npu":
        found |= {
            "backend": version("torch_npu"),
            "toolkit": getattr(torch.version, "cann", None) or _cann(os.environ.get("ASCEND_HOME_PATH")),
            "driver": _entry(_ASCEND_DRIVER, r"^Version=(.+)$"),
        }
    elif device.type == "cuda":
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call,unused-ignore]
        found |= {
            "backend": None if cudnn is None else f"cudnn {cudnn}",
            "toolkit": f"rocm {torch.version.hip}" if torch.version.hip else f"cuda {torch.version.cuda}",
            "driver": _entry(_NVIDIA, r"\s(\d+\.\d[\d.]*)\s"),
        }
    elif device.type == "xpu":
        driver = getattr(ask("xpu", "get_device_properties", device), "driver_version", None)
        found |= {"toolkit": getattr(torch.version, "xpu", None), "driver": None if driver is None else str(driver)}
    elif device.type == "mps":
        system = platform.mac_ver()[0]
        found["driver"] = f"macOS {system}" if system else None
    return found


def _multiplies(name: str, device: torch.device) -> bool:
    import torch

    dtype = getattr(torch, name)
    try:
        product = torch.full((16, 16), 0.5, dtype=dtype).to(device) @ torch.ones((16, 16), dtype=dtype).to(device)
        return bool((product.cpu().float() == 8).all())
    except REFUSALS:  # this device has no such dtype
        return False


def _cann(home: str | None) -> str | None:
    """The toolkit's version from the file its installer leaves in `<home>/<processor>-linux/`."""
    files: Iterable[Path] = sorted(Path(home).glob("*/ascend_toolkit_install.info")) if home else ()
    return next((found for file in files if (found := _entry(file, r"^version=(.+)$"))), None)


def _entry(file: Path, pattern: str) -> str | None:
    """The first group of the first match in a text file; None without either."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or no right to read it
        return None
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else None
