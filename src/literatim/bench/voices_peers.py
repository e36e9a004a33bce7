"""Programs that run a network for voices: ours, torch alone, onnxruntime, OpenVINO."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from literatim import device as devices
from literatim.errors import DependencyError
from literatim.models.speaker import EPSILON, Block, SpeakerNet
from literatim.models.speaker_checkpoint import load_speaker_net

Answer = Callable[[Tensor], Tensor]
"""Centred frames (B, T, M) float32 on the CPU -> vectors (B, E) there."""

PROGRAMS = ("literatim", "torch", "onnxruntime", "openvino")
PACKAGES = {"onnxruntime": ("onnxruntime", "onnx"), "openvino": ("openvino",)}
CPU = torch.device("cpu")


class Plain(nn.Module):
    """The network written down without anything of ours: what torch alone runs, and what is exported."""

    def __init__(self, net: SpeakerNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, M) -> (B, E)."""
        net = self.net
        x = F.relu(_convolved(net.conv1, frames.to(net.embedding.weight.dtype).transpose(1, 2)[:, None]))
        for block in net.blocks():
            x = _block(block, x)
        x = x.float()
        mean = x.mean(-1)
        variance = (x - mean[..., None]).square().sum(-1) / (x.shape[-1] - 1)
        pooled = torch.cat([mean.flatten(1), (variance + EPSILON).sqrt().flatten(1)], 1)
        last = net.embedding
        return F.linear(pooled.to(last.weight.dtype), last.weight, last.bias).float()


def _convolved(layer: Any, x: Tensor) -> Tensor:
    return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)


def _block(block: Block, x: Tensor) -> Tensor:
    kept = x if block.shortcut is None else _convolved(block.shortcut, x)
    x = _convolved(block.conv2, F.relu(_convolved(block.conv1, x)))
    if block.is_bottleneck:
        x = _convolved(block.conv3, F.relu(x))
    return F.relu(x + kept)


def lacking(program: str) -> list[str]:
    """Packages of a program that are not installed."""
    return [name for name in PACKAGES.get(program, ()) if importlib.util.find_spec(name) is None]


def dtypes(program: str, asked: tuple[str, ...], device: torch.device) -> tuple[str, ...]:
    """Those of the dtypes that a program computes in; programs beside torch are measured on the CPU."""
    if program in {"literatim", "torch"}:
        return tuple(name for name in asked if device.type != "cpu" or name != "float16")
    if device.type != "cpu":
        return ()
    there = {"onnxruntime": ("float32",), "openvino": ("float32", "bfloat16")}[program]
    return tuple(name for name in asked if name in there)


def load(program: str, folder: Path, dtype: str, device: torch.device, frames: Tensor) -> Answer:
    """A program that has loaded the network, for frames of this shape. Raises DependencyError."""
    if missing := lacking(program):
        raise DependencyError(f"{program} needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    if program == "openvino":
        return _openvino(folder, dtype, frames)
    if program == "onnxruntime":
        return _onnxruntime(folder, frames)
    net = load_speaker_net(folder, getattr(torch, dtype), device)
    if program == "torch":
        return _on(Plain(net), device)
    if devices.packs_linear(device, net.embedding.weight.dtype):
        net.pack()
    return _on(net, device)


def _on(net: nn.Module, device: torch.device) -> Answer:
    def answer(frames: Tensor) -> Tensor:
        with torch.inference_mode():
            vectors: Tensor = net(frames.to(device)).cpu()  # on the host nothing is left to be waited for
        return vectors

    return answer


def _onnxruntime(folder: Path, frames: Tensor) -> Answer:
    runtime: Any = importlib.import_module("onnxruntime")
    path = folder / "exported.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its older exporter, which needs one package less
        net = Plain(load_speaker_net(folder, torch.float32, CPU))
        torch.onnx.export(net, (frames,), str(path), dynamo=False, opset_version=17)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would take time from the others
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda given: torch.from_numpy(session.run(None, {name: given.numpy()})[0])


def _openvino(folder: Path, dtype: str, frames: Tensor) -> Answer:
    openvino: Any = importlib.import_module("openvino")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(Plain(load_speaker_net(folder, torch.float32, CPU)), example_input=frames)
    model.reshape(list(frames.shape))
    how = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", how).create_infer_request()
    return lambda given: torch.from_numpy(request.infer([given.numpy()])[0].copy())
