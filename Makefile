# `make repro` and `make test` are all a fresh machine needs: each makes .venv first when it is missing or out of date.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ARGS ?=

# Byte-code is written on first import; without it every step pays seconds for importing scikit-learn and MLflow.
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Nothing calls home. (MLflow honours DO_NOT_TRACK only when it is the word "true".)
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true
# Threads of LightGBM that wait must sleep: on a busy machine spinning ones cost ten times the work.
export OMP_WAIT_POLICY := passive
# One way to start a step, with this folder's code: see src/run.py.
RUN := $(BIN)/python src/run.py
# Runs a command unless another that was run by this is still at work in this folder.
BUSY := another night or rollback is at work in this folder; wait for it to end
alone = @mkdir -p .dvc/tmp && flock -n -E 75 .dvc/tmp/nightly.lock $(1) \
  || { code=$$?; [ $$code -ne 75 ] || echo "waymark: $(BUSY)" >&2; exit $$code; }
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -q

.PHONY: help setup setup-linkage setup-dask setup-benchmark choose repro replay nightly rollback leakcheck search ablation backtest test test-slow lint format docs lock benchmark benchmark-linkage benchmark-stitching benchmark-identity benchmark-kernels benchmark-skill mlflow lab clean
help:                            ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-18s %s\n", $$1, $$2}'

setup: $(STAMP)                  ## create .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock || true
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	git rev-parse --git-dir >/dev/null 2>&1 || { $(BIN)/dvc config --local core.no_scm true; $(BIN)/dvc config --local core.autostage false; }
	$(RUN) waymark.kernels
	touch $@

setup-linkage: $(STAMP)          ## add the extra `linkage` (splink) from requirements-linkage.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-linkage.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-linkage.lock

setup-dask: $(STAMP)             ## add the extra `dask`, for engine=dask, from requirements-dask.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-dask.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dask.lock

setup-benchmark: $(STAMP)        ## add the extra `benchmark` (Polars, DuckDB) from requirements-benchmark.lock
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-benchmark.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-benchmark.lock

choose: $(STAMP)                 ## write choices into params.yaml: make choose ARGS="source=cdnow landing=/data/cdnow"
	$(RUN) waymark.choose $(ARGS)

repro: $(STAMP)                  ## every step, to tonight's predictions; ARGS as for choose
	$(if $(strip $(ARGS)),$(RUN) waymark.choose $(ARGS))
	$(BIN)/dvc repro -P
	@$(RUN) waymark.where

replay: $(STAMP)                 ## rebuild a past night from the delivered files: make replay ARGS="cutoff_date=2025-09-28"
	$(RUN) waymark.replay $(ARGS)

nightly: $(STAMP)                ## the scheduled run: one at a time
	$(call alone,$(BIN)/dvc repro -P)
	@$(RUN) waymark.where

rollback: $(STAMP)               ## back to the champion before the present one: make rollback ARGS=churn
	$(call alone,$(RUN) waymark.rollback $(ARGS))

leakcheck: $(STAMP)              ## does any feature or label know the future? exits with 1 where one does
	$(BIN)/dvc repro leakcheck
	@$(RUN) waymark.findings

search: $(STAMP)                 ## an Optuna search for a model's settings: make search ARGS="target=churn n_trials=30 name=found"
	$(BIN)/dvc repro targets
	$(RUN) waymark.search $(ARGS)

ablation: $(STAMP)               ## what each group of features is worth, on held-out training rows: make ablation ARGS="target=churn"
	$(BIN)/dvc repro targets
	$(RUN) waymark.ablation $(ARGS)

backtest: $(STAMP)               ## every model and baseline at several moments back in time; ARGS="target=churn" for one target
	$(BIN)/dvc repro targets
	$(RUN) waymark.backtest $(ARGS)

test: $(STAMP)                   ## the tests (two to three minutes on two cores, no network)
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(STAMP)              ## the slow ones: pipelines, experiments, real logs
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(STAMP)                   ## ruff, without changing anything
	$(BIN)/ruff check src tests benchmarks notebooks && $(BIN)/ruff format --check src tests benchmarks notebooks

format: $(STAMP)                 ## ruff, with its fixes
	$(BIN)/ruff check --fix src tests benchmarks notebooks; $(BIN)/ruff format src tests benchmarks notebooks

docs: $(STAMP)                   ## write docs/tables.md and docs/features.md from schema.py and the table of features
	$(RUN) waymark.table_docs
	$(RUN) waymark.feature_docs

lock: $(STAMP)                   ## resolve pyproject.toml anew; no index address may get into the lock files
	$(LOCK) --extra dev -o requirements.lock
	$(LOCK) --extra linkage -c requirements.lock -o requirements-linkage.lock
	$(LOCK) --extra dask -c requirements.lock -o requirements-dask.lock
	$(LOCK) --extra benchmark -c requirements.lock -c requirements-linkage.lock -o requirements-benchmark.lock
	! grep -nE 'https?://|--(extra-)?index-url|--find-links' requirements*.lock

benchmark: $(STAMP)              ## cost of every step beside reading, sorting and other tools; ARGS="1 10 50" in millions of events
	PYTHONPATH=$(CURDIR)/benchmarks $(BIN)/python -m speed $(ARGS)

benchmark-linkage: $(STAMP)      ## precision and recall of linkage on labelled records in WAYMARK_LOGS
	$(BIN)/python benchmarks/linkage.py

benchmark-stitching: $(STAMP)    ## cost of stitching, from 1 to 10 million links (about five minutes, 8 GB)
	$(BIN)/python benchmarks/stitching.py $(ARGS)

benchmark-identity: $(STAMP)     ## precision and recall of persons on the simulated brand; ARGS is its seed
	$(BIN)/python benchmarks/identity_quality.py $(ARGS)

benchmark-kernels: $(STAMP)      ## cost of the features of a bucket of events, beside DuckDB's read and sort (two minutes)
	$(BIN)/python benchmarks/kernels.py $(ARGS)

benchmark-skill: $(STAMP)        ## forecasts beside baselines and published results on public logs in WAYMARK_LOGS (an hour)
	@PYTHONPATH=$(CURDIR)/benchmarks:$(CURDIR)/src $(BIN)/python -m skill $(ARGS)

mlflow: $(STAMP)                 ## the experiment store in a browser, on this machine only
	$(BIN)/mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --host 127.0.0.1

lab: $(STAMP)                    ## JupyterLab on notebooks/, without its news and update checks
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.news_url= --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

clean:                           ## remove the environment
	rm -rf .venv
