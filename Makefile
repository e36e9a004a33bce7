# Every target works from a fresh clone: it makes .venv and installs only what it needs, once.
# make run | test | test-slow | hunt | lint | bench | bench-peers | clean
#   PYTHON=python3.12     the interpreter .venv is made with
#   TORCH_INDEX=URL       another build of torch, e.g. https://download.pytorch.org/whl/cpu for a small one
#   JOBS=8                processes of tests at a time, each with one thread and up to 2 GB

PYTHON ?= python3
TORCH_INDEX ?=
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
MARK := $(VENV)/installed
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help run test test-slow hunt lint bench bench-peers demo-model medical-model speaker-model clean

help:
	@echo "make run | test | test-slow | hunt | lint | bench | bench-peers | clean"

run: $(MARK)-core
	@$(BIN)/literatim transcribe --model demo --diarize src/literatim/demo/recordings/meeting.flac

test: $(MARK)-test
	@$(PYTEST) -m "not slow"
	@LITERATIM_FAKE_NPU=1 $(PYTEST) -m "not slow" tests/device

# Exit code 5 says that no test is marked slow, which is no failure.
test-slow: $(MARK)-test
	@$(PYTEST) -m slow || [ $$? -eq 5 ]
	@LITERATIM_FAKE_NPU=1 $(PYTEST) -m slow tests/device || [ $$? -eq 5 ]

# For hours: batches of random models, drafts and prompts, in search of one in which speculation changes anything.
hunt: $(MARK)-test
	@$(BIN)/python tests/hunt/speculation.py --cases 20000

lint: $(MARK)-lint
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@report=$$($(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }

bench: $(MARK)-bench bench-peers
	@$(BIN)/literatim bench speed

# Peers whose pins would change the versions of the others get an environment each, which the benchmark finds.
PEERS := .venv-peers
bench-peers: $(PEERS)/openvino/installed

# The bundled model from nothing: some hours, 6 GB under build/, and espeak-ng (apt-get install espeak-ng).
DEMO := src/literatim/demo/demo
DRAFT := src/literatim/demo/demo-draft
FIT := $(BIN)/python -m literatim.train.fit build/corpus
demo-model: $(MARK)-test
	$(BIN)/python -m literatim.train.corpus build/corpus --hours-english 60 --hours-dutch 36
	$(FIT) build/two --layers 2 --minutes 20
	$(FIT) build/four --layers 4 --phase 2 --resume build/two/checkpoint.pt --minutes 25
	$(FIT) build/last --layers 4 --phase 3 --resume build/four/checkpoint.pt --minutes 37 --decay 37 --ctc 0.25 --guidance 0.1
	$(FIT) build/more --layers 4 --phase 3 --resume build/last/checkpoint.pt --minutes 70 --decay 65 --rate 1e-3 --warmup 40 --ctc 0.25 --guidance 0.1
	$(BIN)/python -m literatim.train.export build/more/checkpoint.pt build/more/bpe.json $(DEMO)
	$(BIN)/python -m literatim.train.alignment $(DEMO)
	$(BIN)/python -m literatim.train.recordings src/literatim/demo/recordings
	$(BIN)/python -m literatim.train.evaluate $(DEMO) --out $(DEMO)/evaluation.json
	$(BIN)/literatim bench wer --model demo --out $(DEMO)/recordings.json
	$(BIN)/python -m literatim.train.card $(DEMO)
	$(BIN)/python -m literatim.train.talks build/talks
	$(BIN)/literatim draft train --model demo --audio build/talks --out $(DRAFT) --work build/draft --layers 1 --hours 16.5 --steps 3600 --rate 2e-3 --dtype bfloat16
	$(BIN)/python -m literatim.train.draft_card $(DRAFT)

# The bundled medical model from nothing: about two hours of one core, 4 GB under build/, and espeak-ng.
MEDICAL := src/literatim/demo/demo-medical
medical-model: $(MARK)-test
	$(BIN)/python -m literatim.train.medical.corpus build/medical --hours 40
	$(BIN)/python -m literatim.train.medical.fit build/medical build/medical-run --minutes 94
	$(BIN)/python -m literatim.train.medical.export build/medical-run/checkpoint.pt build/medical $(MEDICAL)
	$(BIN)/python -m literatim.train.medical.language_model $(MEDICAL)
	$(BIN)/python -m literatim.train.medical.recording src/literatim/demo/dictations
	$(BIN)/python -m literatim.train.medical.evaluate $(MEDICAL) --out $(MEDICAL)/evaluation.json
	$(BIN)/literatim bench wer src/literatim/demo/dictations/chest-ct.flac --model $(MEDICAL) --normalizer medasr --out $(MEDICAL)/recordings.json
	$(BIN)/python -m literatim.train.medical.card $(MEDICAL)

# The bundled network for voices from nothing: about an hour, 2 GB under build/, and espeak-ng.
SPEAKER := src/literatim/demo/demo-speaker
speaker-model: $(MARK)-test
	$(BIN)/python -m literatim.train.speaker.corpus build/speaker --voices 2400
	$(BIN)/python -m literatim.train.speaker.fit build/speaker build/speaker-run --minutes 50
	$(BIN)/python -m literatim.train.speaker.export build/speaker-run/checkpoint.pt build/speaker $(SPEAKER)
	$(BIN)/python -m literatim.train.speaker.recording src/literatim/demo/discussions
	$(BIN)/python -m literatim.train.speaker.evaluate $(SPEAKER) --out $(SPEAKER)/evaluation.json
	$(BIN)/literatim bench der --model $(SPEAKER) --out $(SPEAKER)/recordings.json
	$(BIN)/python -m literatim.train.speaker.card $(SPEAKER)

clean:
	@rm -rf $(VENV) $(PEERS) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf src/*.egg-info

# torch comes first and alone, so that TORCH_INDEX decides nothing else.
$(MARK)-torch: constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing; name another with PYTHON=..." >&2; exit 2; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "installing torch into $(VENV)" >&2
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@touch $@

$(MARK)-core: $(MARK)-torch pyproject.toml setup.py $(wildcard src/literatim/native/*.[ch])
	@echo "installing literatim" >&2
	@$(PIP) --editable .
	@touch $@

# The tests read openai-whisper's tokenizer files and module; its other dependencies (numba, triton) they do not need.
$(MARK)-test: $(MARK)-core
	@echo "installing what the tests need" >&2
	@$(PIP) --editable ".[test]"
	@$(PIP) --no-deps openai-whisper
	@touch $@

$(MARK)-lint: $(MARK)-core
	@echo "installing what lint needs" >&2
	@$(PIP) --editable ".[lint]"
	@touch $@

$(MARK)-bench: $(MARK)-core
	@echo "installing what the benchmarks need" >&2
	@$(PIP) --editable ".[bench]"
	@touch $@

# optimum-intel, which exports the model, asks for an older transformers. literatim itself comes without what it needs
# elsewhere: a worker there imports numpy, torch and the peer.
$(PEERS)/%/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing; name another with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(PEERS)/$*

PEER_PIP = $(dir $@)bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
$(PEERS)/openvino/installed: $(PEERS)/openvino/bin/python constraints.txt
	@echo "installing OpenVINO into $(PEERS)/openvino" >&2
	@$(PEER_PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@$(PEER_PIP) numpy safetensors tokenizers click "openvino-genai>=2025.3" "optimum-intel[openvino]>=2.2"
	@$(PEER_PIP) --no-deps --editable .
	@touch $@
