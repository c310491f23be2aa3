# Two commands do all the set-up: `make demo` and `make test`. `make docs` builds the guide.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test lint docs install clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

demo: install
	$(BIN)/ndcl-domainbed sweep launch --algorithms NDCL ERM CORAL BSoftmax --datasets DigitsDG \
		--imbalance TotalHeavyTail --single_test_envs --n_hparams 1 --n_trials 1 \
		--data_dir data --output_dir demo --command_launcher local --jobs $(JOBS) \
		--skip_confirmation
	$(BIN)/ndcl-domainbed collect_results --input_dir demo --selection balanced \
		--output demo/leaderboard.txt --html demo/report.html

test: install lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

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
