# The whole manual: two commands for a newcomer, `make demo` and `make test`; the rest for developers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COMPILED := nibabel_data/viewer/_downsample.c nibabel_data/viewer/_downsample_mode.h

.PHONY: demo test check format doc bench bench-mechanisms bench-viewer clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo  ## install, and locate a real brain
	$(BIN)/nibabel-data demo

test: $(VENV)/.test  ## install everything that tests need, and run them all
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

check: $(VENV)/.check  ## lint, format, types, who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.check  ## mend what lint and format can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doc: $(VENV)/.doc  ## build the documentation, and run its code blocks
	$(BIN)/python -m sphinx -W --keep-going -q -b html doc doc/_build/html
	$(BIN)/python -m sphinx -W -q -b doctest doc doc/_build/doctest

bench: $(VENV)/.test  ## measure beside nibabel, pooch and bare Python
	$(BIN)/python benchmarks/locate.py --readme README.rst $(ARGS)
	$(BIN)/python benchmarks/package.py --readme README.rst $(ARGS)
	$(BIN)/python benchmarks/mechanisms.py --without-glia  # see bench-mechanisms

bench-mechanisms: $(VENV)/.test  ## measure mechanisms beside Glia: half an hour
	$(BIN)/python benchmarks/mechanisms.py --readme README.rst $(ARGS)

bench-viewer: $(VENV)/.test  ## measure the viewer beside neuroglancer and igneous: ten minutes
	$(BIN)/python benchmarks/viewer.py --igneous --readme README.rst $(ARGS)

clean:
	rm -rf $(VENV) build dist doc/_build doc/api *.egg-info .coverage* htmlcov
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nibabel-data needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv --upgrade-deps $(VENV)  # commands that an old pip makes start more slowly

$(VENV)/.demo: EXTRAS = demo
$(VENV)/.test: EXTRAS = test
$(VENV)/.check: EXTRAS = test,check
$(VENV)/.doc: EXTRAS = test,doc
$(VENV)/.demo $(VENV)/.test $(VENV)/.check $(VENV)/.doc: $(VENV)/bin/python pyproject.toml setup.py $(COMPILED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]'
	touch $@
