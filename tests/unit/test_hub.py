"""A model's name becomes a folder: names, the choice of files, the cache, ModelScope, `literatim models`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

import hub_server
from hub_server import COMMIT, Hub, Repo
from literatim import demo, hub
from literatim.cli.models import models
from literatim.errors import AudioNotFound, DependencyError, ModelFormatError, ModelNotFound, OptionError
from literatim.hub.choose import choose
from literatim.options import HubOptions

CONFIG = b'{"model_type": "whisper"}'
SMALL = {"config.json": CONFIG, "tokenizer.json": b"{}", "README.md": b"# card"}
WEIGHTS = bytes(range(256)) * 100


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serve(Hub()) as running:
        hub_server.client(running, tmp_path / "home", monkeypatch)
        yield running


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "bundle"
    for name in ("demo/config.json", "recordings/hello.wav", "recordings/hello.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * 1000)
    monkeypatch.setattr(demo, "_HERE", root)
    return root


def test_short_names_are_those_of_the_released_models() -> None:
    assert hub.SHORT_NAMES["tiny.en"] == "openai/whisper-tiny.en"
    assert hub.SHORT_NAMES["large"] == hub.SHORT_NAMES["large-v3"] == "openai/whisper-large-v3"
    assert hub.SHORT_NAMES["large-v1"] == "openai/whisper-large"
    assert hub.SHORT_NAMES["turbo"] == hub.SHORT_NAMES["large-v3-turbo"] == "openai/whisper-large-v3-turbo"
    assert hub.SHORT_NAMES["distil-large-v3.5"] == "distil-whisper/distil-large-v3.5"
    assert hub.SHORT_NAMES["medasr"] == "google/medasr"
    assert hub.SHORT_NAMES["resnet34-lm"] == "aufklarer/WeSpeaker-ResNet34-LM-MLX"
    assert len(hub.SHORT_NAMES) == 21


def test_default_model_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITERATIM_MODEL", raising=False)
    assert hub.default_model() == "openai/whisper-small"
    monkeypatch.setenv("LITERATIM_MODEL", "tiny")
    assert hub.default_model() == "tiny"
    monkeypatch.delenv("LITERATIM_SPEAKER_MODEL", raising=False)
    assert hub.default_speaker_model() == "resnet34-lm"
    monkeypatch.setenv("LITERATIM_SPEAKER_MODEL", "demo-speaker")
    assert hub.default_speaker_model() == "demo-speaker"
    monkeypatch.setenv("LITERATIM_MODEL", " ")
    assert hub.default_model() == "openai/whisper-small"


def test_local_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "owner/name", "demo"):
        Path(name).mkdir(parents=True)
    assert hub.resolve(".") == Path()
    assert hub.resolve("mine") == Path("mine")
    assert hub.resolve("owner/name") == Path("owner/name")
    assert hub.resolve(str(tmp_path / "mine")) == tmp_path / "mine"
    assert hub.resolve("demo") == bundle / "demo"  # the name of a bundled model comes before a folder
    assert hub.resolve("./demo") == hub.resolve(Path("demo")) == Path("demo")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.resolve("~/mine") == tmp_path / "mine"


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "a/b/c", "..\\x", "C:\\models", "~/none-such"])
def test_absent_folder(name: str) -> None:
    with pytest.raises(ModelNotFound, match="there is no folder"):
        hub.resolve(name)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ModelNotFound, match=r"is a file: give the folder .*literatim convert"):
        hub.resolve(file)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("tinny", "tiny"),
        ("large-v4", "large-v3"),
        ("whisper-small", "small"),
        ("distil-large", "distil-large-v3"),
    ],
)
def test_typos_are_recognised(wrong: str, meant: str) -> None:
    with pytest.raises(ModelNotFound, match=rf"did you mean .*\b{meant}\b"):
        hub.resolve(wrong)


@pytest.mark.parametrize("name", ["", " ", "a b", "owner/na me", "https://huggingface.co/openai/whisper-tiny"])
def test_impossible_names(name: str) -> None:
    with pytest.raises(ModelNotFound, match="openai/whisper-small"):
        hub.resolve(name)


def test_no_name_but_a_bundled_one_gives_a_bundled_model(served: Hub, bundle: Path) -> None:
    for name in (*hub.SHORT_NAMES, "openai/demo", "demos", "Demo", hub.DEFAULT_MODEL):
        with pytest.raises(ModelNotFound):
            hub.resolve(name)
    assert hub.resolve("demo") == bundle / "demo"


def test_bundle_lists_its_recordings(bundle: Path) -> None:
    hello = bundle / "recordings" / "hello.wav"
    assert demo.recordings() == [hello]
    assert demo.recording_path("hello") == demo.recording_path("hello.wav") == hello
    with pytest.raises(AudioNotFound, match=r"there are: hello\.wav"):
        demo.recording_path("bye")
    with pytest.raises(ModelNotFound, match="not in this installation"):
        demo.model_path("demo-draft")


def test_download_takes_one_set_of_weights(served: Hub, tmp_path: Path) -> None:
    shards = {f"model.fp32-0000{i}-of-00002.safetensors": WEIGHTS for i in (1, 2)}
    unwanted = {
        "pytorch_model.bin": b"p",
        "flax_model.msgpack": b"f",
        "tf_model.h5": b"t",
        "model.onnx": b"o",
    }
    index = {"model.safetensors.index.fp32.json": json.dumps({"weight_map": dict.fromkeys(shards)}).encode()}
    files = {**SMALL, **shards, **index, **unwanted, "model.safetensors": WEIGHTS}
    served.repos["openai/whisper-large-v3"] = Repo(files)
    folder = hub.resolve("large-v3")
    assert folder == tmp_path / "home/hub/models--openai--whisper-large-v3/snapshots" / COMMIT
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(served.fetched()) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_download_follows_an_index(served: Hub) -> None:
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = json.dumps({"metadata": {}, "weight_map": {"a": names[1], "b": names[0], "c": names[1]}}).encode()
    shards = dict.fromkeys(names, WEIGHTS) | {"model-00001-of-00003.safetensors": b"of another set"}
    served.repos["a/sharded"] = Repo({**SMALL, "model.safetensors.index.json": index, **shards})
    folder = hub.resolve("a/sharded")
    assert [file.name for file in sorted(folder.glob("*.safetensors"))] == names
    assert hub.cached("a/sharded") == folder


def test_what_is_cached_needs_no_server(served: Hub) -> None:
    served.repos["openai/whisper-tiny"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    assert hub.cached("tiny") is None
    first = hub.resolve("tiny")
    served.seen.clear()
    assert hub.resolve("tiny") == hub.cached("tiny") == first
    assert hub.resolve("tiny", HubOptions(local_files_only=True)) == first
    assert served.seen == []
    assert hub.resolve("tiny", refresh=True) == first
    assert [path for _, path, _ in served.seen] == ["/api/models/openai/whisper-tiny/revision/main"]


def test_refresh_brings_the_new_commit_and_no_known_weights(served: Hub) -> None:
    repo = served.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    old = hub.resolve("a/b")
    repo.commit, repo.files["config.json"] = "f" * 40, b'{"model_type": "whisper", "new": 1}'
    served.seen.clear()
    assert hub.resolve("a/b") == old
    new = hub.resolve("a/b", refresh=True)
    assert new.name == "f" * 40
    assert (new / "config.json").read_bytes() == repo.files["config.json"]
    assert (new / "model.safetensors").read_bytes() == WEIGHTS
    assert served.fetched() == ["config.json"]
    assert hub.resolve("a/b") == new
    assert hub.resolve("a/b", HubOptions(revision=COMMIT)) == old


def test_revision_and_model_dir(served: Hub, tmp_path: Path) -> None:
    served.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS}, revisions=("main", "v1.0"))
    options = HubOptions(revision="v1.0", model_dir=str(tmp_path / "models"))
    assert hub.resolve("a/b", options) == tmp_path / "models/models--a--b/snapshots" / COMMIT
    assert served.seen[0][1] == "/api/models/a/b/revision/v1.0"
    assert hub.cached("a/b", options) == hub.resolve("a/b", options)
    assert hub.cached("a/b") is None
    assert not (tmp_path / "home").exists()
    for revision in ("../../x", "/etc/passwd"):
        with pytest.raises(OptionError, match="give a branch"):
            hub.resolve("a/b", HubOptions(revision=revision))


def test_a_copy_made_by_another_program_is_used_and_verified(served: Hub, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    served.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    for name in ("config.json", "model.safetensors"):
        hf_hub_download("a/b", name, endpoint=served.endpoint, cache_dir=tmp_path / "home/hub")
    served.seen.clear()
    offline = hub.resolve("a/b", HubOptions(local_files_only=True))
    assert served.seen == []
    assert hub.resolve("a/b") == offline
    assert served.fetched() == ["tokenizer.json"]  # what that program had left out


def test_a_copy_made_by_another_program_serves_when_the_server_is_down(
    served: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    hub.resolve("a/b")
    (tmp_path / f"home/hub/models--a--b/literatim/{COMMIT}.json").unlink()
    served.down = 503
    folder = hub.resolve("a/b")
    assert folder.name == COMMIT
    assert "not verified" in caplog.text


def test_the_variables_of_huggingface_hub_count_in_a_process_of_its_own(served: Hub, tmp_path: Path) -> None:
    served.repos["openai/whisper-base"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    environ = os.environ | hub_server.environment(served, tmp_path / "own")
    code = "import sys; from literatim import hub; print(hub.resolve('base')); print('torch' in sys.modules)"

    def run(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", code]
        return subprocess.run(command, env=environ | more, capture_output=True, text=True, check=False)

    first = run()
    folder = tmp_path / "own/hub/models--openai--whisper-base/snapshots" / COMMIT
    assert first.stdout.split() == [str(folder), "False"], first.stderr
    assert first.stderr == ""  # no progress bar where no terminal is
    seen = len(served.seen)
    assert run(HF_HUB_OFFLINE="1").stdout.split()[0] == str(folder)
    assert run(HF_ENDPOINT=f"http://127.0.0.1:{hub_server.free_port()}").stdout.split()[0] == str(folder)
    assert len(served.seen) == seen
    bare = run(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "bare"))
    assert "the network is switched off" in bare.stderr


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["config.json", "pytorch_model.bin"], "literatim convert"),
        (["avg_model.pt", "config.yaml"], "literatim convert"),
        (["config.json", "model.bin", "vocabulary.json"], "CTranslate2"),
        (["ggml-tiny.bin"], "whisper.cpp"),
        (["config.json", "weights.npz"], "MLX"),
        (["adapter_config.json", "adapter_model.safetensors"], "PEFT"),
        (["config.json", "tf_model.h5"], "another framework"),
        (["README.md"], "no weights"),
        (["model.safetensors"], "no config.json"),
    ],
)
def test_checkpoints_of_another_kind_are_named(files: list[str], what: str) -> None:
    with pytest.raises(ModelFormatError, match=rf"a/b .*{what}"):
        choose("a/b", files)


def _fake_modelscope(monkeypatch: pytest.MonkeyPatch, folder: Path, parameters: str) -> dict[str, object]:
    calls: dict[str, object] = {}
    module = ModuleType("modelscope")
    scope: dict[str, object] = {"calls": calls, "folder": str(folder)}
    exec(f"def snapshot_download({parameters}):\n    calls.update(locals())\n    return folder", scope)
    module.snapshot_download = scope["snapshot_download"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "modelscope", module)
    return calls


@pytest.mark.parametrize("filter_name", ["allow_patterns", "allow_file_pattern", "ignore_file_pattern"])
def test_modelscope_of_any_age(filter_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    older = ", ignore_file_pattern=None" if filter_name == "allow_file_pattern" else ""
    parameters = f"model_id, revision='master', cache_dir=None, {filter_name}=None{older}"
    calls = _fake_modelscope(monkeypatch, tmp_path, parameters)
    assert hub.resolve("tiny", HubOptions(hub="modelscope", model_dir="here")) == tmp_path
    assert calls["model_id"] == "openai/whisper-tiny"
    assert (calls["revision"], calls["cache_dir"]) == ("master", "here")
    assert calls[filter_name]
    assert calls.get("ignore_file_pattern") is None or filter_name == "ignore_file_pattern"


def test_modelscope_without_its_package_or_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = HubOptions(hub="modelscope")
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(DependencyError, match=r"literatim\[modelscope\]"):
        hub.resolve("tiny", options)
    _fake_modelscope(monkeypatch, tmp_path, "model_id, *, needed")
    with pytest.raises(ModelNotFound, match="from ModelScope"):
        hub.resolve("tiny", options)
    assert hub.cached("tiny", options) is None
    _fake_modelscope(monkeypatch, tmp_path, "model_id")
    with pytest.raises(ModelFormatError, match="no weights"):
        hub.resolve("tiny", options)


def test_what_cannot_be_found_is_not_cached(served: Hub, tmp_path: Path, bundle: Path) -> None:
    (bundle / "demo/config.json").unlink()
    folder = tmp_path / "home/hub/models--a--b/snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    options = HubOptions(revision=COMMIT)
    assert hub.cached("demo") is hub.cached("/none") is hub.cached("tinny") is hub.cached("a/b", options) is None
    (folder / "model.safetensors.index.json").write_bytes(b"[]")
    assert hub.cached("a/b", options) is None
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    assert hub.cached("a/b", options) == folder
    assert CliRunner().invoke(models, ["list"]).exit_code == 0


def test_models_list(served: Hub, bundle: Path) -> None:
    served.repos["openai/whisper-tiny"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    hub.resolve("tiny")
    shown = CliRunner().invoke(models, ["list"])
    assert shown.exit_code == 0
    rows = {line.split()[0]: line for line in shown.output.splitlines()}
    assert "0.0 MB (small demonstration model, synthetic speech only)" in rows["demo"]
    assert rows["tiny"].split()[1:] == ["openai/whisper-tiny", "0.0", "MB"]
    assert rows["turbo"].split()[1:] == ["openai/whisper-large-v3-turbo", "no"]
    table = json.loads(CliRunner().invoke(models, ["list", "--json"]).output)
    assert [row["name"] for row in table] == ["demo", "demo-draft", "demo-medical", "demo-speaker", *hub.SHORT_NAMES]
    assert table[0]["bytes"] == 1000
    assert table[0]["note"] == "small demonstration model, synthetic speech only"
    tiny = next(row for row in table if row["name"] == "tiny")
    assert tiny["bytes"] == len(WEIGHTS) + len(CONFIG) + len(b"{}")
    assert tiny["path"] == str(hub.cached("tiny"))


def test_terms_are_named_where_a_model_is_fetched(served: Hub, caplog: pytest.LogCaptureFixture) -> None:
    """Once: not where it is on this disk already, and not for others."""
    served.repos["google/medasr"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    served.repos["openai/whisper-tiny"] = Repo({**SMALL, "model.safetensors": WEIGHTS})
    hub.resolve("tiny")
    assert caplog.messages == []
    hub.resolve("medasr")
    assert len(caplog.messages) == 1
    assert "HAI-DEF" in caplog.text
    assert "not for clinical use" in caplog.text
    hub.resolve("medasr")
    assert len(caplog.messages) == 1
    table = json.loads(CliRunner().invoke(models, ["list", "--json"]).output)
    assert "HAI-DEF" in next(row["note"] for row in table if row["name"] == "medasr")


def test_models_path_and_download(served: Hub, tmp_path: Path) -> None:
    served.repos["a/b"] = Repo({**SMALL, "model.safetensors": WEIGHTS}, revisions=("main", "v1"))
    home = str(tmp_path / "m")
    missing = CliRunner().invoke(models, ["path", "a/b", "--local-files-only", "--model-dir", home])
    assert isinstance(missing.exception, ModelNotFound)
    got = CliRunner().invoke(models, ["download", "a/b", "--revision", "v1", "--model_dir", home])
    assert got.output == f"{Path(home) / 'models--a--b/snapshots' / COMMIT}\n"
    again = CliRunner().invoke(models, ["path", "a/b", "--revision", "v1", "--model-dir", home])
    assert again.output == got.output
    other = CliRunner().invoke(models, ["list", "--hub", "other"])
    assert other.exit_code == 2
    assert "'huggingface', 'modelscope'" in other.output
