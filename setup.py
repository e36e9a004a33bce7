"""The kernels in C for CPUs: one library for each level of processors. Everything else is in pyproject.toml.

They are optional: without a compiler that knows GCC's vectors, literatim works by torch's operators alone.
"""

import platform
import sys

from setuptools import Extension, setup

# What is multiplied and added in one rounding is said in the code (`fused`), so that all levels give the same bits.
COMMON = ["-O3", "-std=gnu11", "-fno-math-errno", "-ffp-contract=off", "-fno-strict-aliasing"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma"]
X86 = {
    "v4bf16": [*AVX512, "-mavx512bf16"],
    "v4": AVX512,
    "v3": ["-mavx2", "-mfma"],
}
LEVELS = X86 if platform.machine().lower() in {"x86_64", "amd64"} else {"base": []}
FOLDER = "src/literatim/native"
SOURCES = [
    f"{FOLDER}/{name}.c"
    for name in ("decoder", "screen", "logits", "rules", "draft", "convolution", "conformer", "align")
]

setup(
    ext_modules=[
        Extension(
            f"literatim.native._{level}",
            SOURCES,
            depends=[f"{FOLDER}/common.h"],
            extra_compile_args=[*COMMON, *flags],
            optional=True,
        )
        for level, flags in LEVELS.items()
        if sys.platform != "win32"
    ]
)
