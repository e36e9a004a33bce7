"""What holds for every test: no network, one thread, the same examples each time."""

from __future__ import annotations

import os

from hypothesis import settings

# Before huggingface_hub, transformers and torch are imported, which read these once. Child processes inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ.pop("LITERATIM_MODEL", None)

settings.register_profile("literatim", deadline=None, derandomize=True, database=None)
settings.load_profile("literatim")

# A fake npu stays in its process for good, so that its tests have one of their own: `make test` runs them after these.
collect_ignore = [] if os.environ.get("LITERATIM_FAKE_NPU") == "1" else ["device"]
