# make run: set up, and bring a model into production.   make test: set up, and run the tests.
.PHONY: run test lint format setup clean

unexport PYTHONDONTWRITEBYTECODE  # each start would compile every module again

run: setup
	@.venv/bin/evergreen run

test: setup
	@.venv/bin/pytest

lint: setup
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format: setup
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

setup:
	@deploy/set-up.sh

clean:  ## Stops the local stack and removes all that git does not track, the trained models too.
	@if [ -x .venv/bin/evergreen ]; then .venv/bin/evergreen down; fi
	@rm -rf .venv .evergreen data build mlruns/mlflow.db* mlruns/artifacts
