# `make lab` and the rest work on a fresh machine: each first makes .venv and installs into it, once.
# PYTHON=python3.12 chooses the Python that .venv is made with.

PYTHON ?= python3
VENV_PYTHON := .venv/bin/python
FIRST_NOTEBOOK := $(notdir $(firstword $(sort $(wildcard notebooks/[0-9]*.ipynb))))

.PHONY: help lab run photo test test-browser test-colab bench publish classroom sync sync-check clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1 — /p' Makefile

lab: .venv/.installed ## open JupyterLab on the first notebook (options for it: LAB_ARGS="--no-browser")
	@$(VENV_PYTHON) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks/$(FIRST_NOTEBOOK) $(LAB_ARGS)

run: .venv/.installed ## run the whole series and write browsable pages to build/ (options: RUN_ARGS="--only 02")
	@$(VENV_PYTHON) -m tests.tools.run $(RUN_ARGS)

photo: build/photo/index.html ## serve the page that answers about photos, on http://localhost:8000 (another port: PORT=8080)
	@echo "Open http://localhost:$(or $(PORT),8000) in a browser; Ctrl+C stops the server."
	@$(VENV_PYTHON) -m http.server --directory build/photo $(or $(PORT),8000)

ifdef LITERT # a folder with the files of LiteRT.js, to be put beside a page that is written anew
$(if $(wildcard $(LITERT)/core),,$(error Expected in LITERT a folder node_modules/@litertjs that npm has made; found none at $(LITERT)))
export TUTORIAL_LITERT := $(abspath $(LITERT))
.PHONY: build/photo/index.html
endif
build/photo/index.html: | .venv/.installed
	@$(VENV_PYTHON) -m tests.tools.run --only 06_phone_and_web

test: .venv/.installed ## check the code, the notebooks' form, and run all tests and notebooks
	@$(VENV_PYTHON) -m ruff check
	@$(VENV_PYTHON) -m tests.tools.sync --check
	@$(VENV_PYTHON) -m pytest $(PYTEST_ARGS)

test-browser: .venv/.installed ## step through every notebook in JupyterLab, in Chromium (which must be installed)
	@TUTORIAL_BROWSER=required $(VENV_PYTHON) -m pytest tests/browser -m "slow or not slow" --dist load $(PYTEST_ARGS)

test-colab: .venv-colab/.installed .venv-colab-tpu/.installed ## test with the versions Colab has, and without TensorFlow on JAX
	@TUTORIAL_DEVICES=cpu-mirrored .venv-colab/bin/python -m pytest tests/test_published.py notebooks/deeper notebooks/solutions $(PYTEST_ARGS)
	@TUTORIAL_DEVICES=cpu-mirrored .venv-colab/bin/python -m pytest tests/test_runners.py -m "slow or not slow" --dist load $(PYTEST_ARGS)
	@KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=8 .venv-colab-tpu/bin/python -m pytest \
		tests/test_published.py tests/test_machine.py tests/test_setup.py::test_without_tensorflow_the_set_up_cell_says_which_runtime_to_choose \
		notebooks/04_tpu_training.ipynb $(wildcard notebooks/deeper/04_*.ipynb) $(PYTEST_ARGS)

bench: .venv/.installed ## compare with recipes of published articles, in up to 90 minutes (one row: ONLY=load)
	@$(VENV_PYTHON) -m tests.benchmarks.bench $(if $(ONLY),--only $(ONLY)) $(BENCH_ARGS)

publish: .venv/.installed ## run in the full profile and save the outputs in notebooks/ (those whose names begin so: ONLY=02_b)
	@$(VENV_PYTHON) -m tests.tools.run --publish $(if $(ONLY),--only $(ONLY)) $(RUN_ARGS)

classroom: .venv/.installed ## write classroom/classroom.zip for a room without network, and prove it (CLASSROOM_ARGS="--no-wheels")
	@$(VENV_PYTHON) -m tests.tools.classroom $(CLASSROOM_ARGS)

sync: .venv/.installed ## write badges, navigation, set-up cells, shown code and tables (for a fork: REPO=owner/name)
	@$(VENV_PYTHON) -m tests.tools.sync $(if $(REPO),--repository $(REPO))

sync-check: .venv/.installed ## say what `make sync` would change, and which links lead nowhere
	@$(VENV_PYTHON) -m tests.tools.sync --check

clean: ## remove everything generated except the environments, which take long to install
	rm -rf build classroom .pytest_cache .ruff_cache
	find . \( -name __pycache__ -o -name .ipynb_checkpoints \) -not -path './.venv*' -prune -exec rm -rf {} +

# uv installs in a fraction of pip's time, but does not know pip's settings, as of a mirror: where it fails, pip tries.
# Python compiles what it imports, once; where it may not, uv does, or every start would take three times as long.
UV_INSTALL = $(VENV_PYTHON) -m uv pip install --quiet --python $(@D) $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode)
PIP_INSTALL := $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check

# The versions of Colab's runtimes, on Colab's Python where it can be found. The one for TPUs has JAX, and no TensorFlow.
PYENV_313 = $(addsuffix /bin/python,$(shell pyenv prefix 3.13 2>/dev/null))
COLAB_PYTHON = $(firstword $(foreach python,python3.13 $(PYENV_313),$(shell $(python) -c 'import sys; print(sys.executable)' 2>/dev/null)) $(PYTHON))
.venv-colab/.installed: PACKAGES := -r tests/requirements.txt
.venv-colab-tpu/.installed: PACKAGES := -r .venv-colab-tpu/without_tensorflow.txt jax
.venv-%/.installed: requirements.txt tests/requirements.txt tests/constraints-%.txt | .venv/.installed
	@$(COLAB_PYTHON) tests/tools/check_python.py && $(COLAB_PYTHON) -m venv --clear $(@D)
	@echo "Installing into $(@D), only this once, on $$($(COLAB_PYTHON) -V) (Colab has 3.13) ..."
	@grep -v '^tensor' requirements.txt > $(@D)/without_tensorflow.txt
	@$(UV_INSTALL) $(PACKAGES) -c tests/constraints-$*.txt
	@touch $@

# An unfinished or unsuitable .venv is made anew; a finished one only gets what changed in the requirements.
.venv/.installed: requirements.txt tests/requirements.txt
	@$(VENV_PYTHON) tests/tools/check_python.py 2>/dev/null && $(VENV_PYTHON) -m pip --version >/dev/null 2>&1 || { \
		command -v $(PYTHON) >/dev/null || \
			{ echo "Expected a Python called $(PYTHON) and found none: install Python 3.12 and name it, as in \`make test PYTHON=python3.12\`."; exit 1; }; \
		$(PYTHON) tests/tools/check_python.py && $(PYTHON) -m venv --clear .venv; }
	@echo "Installing into .venv, only this once: about 3 GB ..."
	@$(PIP_INSTALL) uv && $(UV_INSTALL) -r tests/requirements.txt || { \
		echo "uv could not install them, for the reason above; pip tries, which takes some minutes ..."; \
		$(PIP_INSTALL) -r tests/requirements.txt; }
	@touch $@
