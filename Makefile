# `make demo` and `make test` set everything up. `make docs` builds the guide.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# More test processes than cores: many tests wait for processes of their own.
WORKERS ?= $(shell expr $(JOBS) + 2)

.PHONY: demo test lint docs install clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.demo

$(VENV)/.demo: setup.cfg pyproject.toml  # less than the tests need, so that it is there sooner
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[digits,report]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/ndcl-domainbed sweep launch --sweep sweeps/demo.yaml --data_dir data --output_dir demo \
		--command_launcher local --jobs $(JOBS) --skip_confirmation
	$(BIN)/ndcl-domainbed collect_results --input_dir demo --selection balanced --sort \
		--output demo/leaderboard.txt --html demo/report.html
	@echo
	@echo 'A column is the accuracy in percent on one domain of digits after training on the other'
	@echo 'three under a long tail of classes. There is one trial, so there is no error, and'
	@echo 'differences of a few points mean little. README.md has the table of photographs.'
	@echo 'The report, to open in a browser: $(CURDIR)/demo/report.html'

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.english

docs: install
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html -d build/docs docs site
	@echo 'The guide: site/index.html'

clean:
	rm -rf $(VENV) demo site build dist *.egg-info
