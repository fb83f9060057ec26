# Everything runs from one virtual environment; the stamps make second runs fast.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps

.DEFAULT_GOAL := help
.PHONY: help run test check lint types format schema cards helm servers run-distributed bench clean

help: ## show this help
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMPS)/run ## run the main job on the built-in scene for a minute
	@$(BIN)/mien demo

test: $(STAMPS)/dev $(STAMPS)/debian $(STAMPS)/servers $(STAMPS)/go-tools ## run the test suite
	$(BIN)/pytest -n 2 --dist loadfile

check: lint types test ## lint, types and tests, as CI runs them

lint: $(STAMPS)/dev ## ruff and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMPS)/dev ## mypy --strict
	$(BIN)/mypy

format: $(STAMPS)/dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schema: $(STAMPS)/dev ## write the generated JSON Schemas and dashboards
	$(BIN)/mien config schema > docs/mien.schema.json
	$(BIN)/mien config schema --rules > docs/mien.rules.schema.json
	PYTHONPATH=. $(BIN)/python helm/schema.py
	$(BIN)/mien dashboards write helm/mien/dashboards --provisioning examples/compose/grafana -c examples/compose/mien.yaml

cards: $(STAMPS)/dev ## write the model cards of docs/models from the registry, its notes and docs/figures
	$(BIN)/mien models cards docs

helm: schema $(STAMPS)/go-tools ## write the schema of the chart's values, lint and render the chart, check what it renders
	PYTHONPATH=. $(BIN)/python tests/integration/test_helm.py
	$(BIN)/pytest -q tests/integration/test_helm.py

servers: $(STAMPS)/dev ## start a Kafka and an Elasticsearch to try the distributed pipeline with; Ctrl-C ends both
	@$(BIN)/python -m tests.servers

run-distributed: $(STAMPS)/dev ## run the built-in scene through Kafka, Faust workers and Elasticsearch for a minute
	@$(BIN)/python -m tests.servers.run_distributed

bench: $(STAMPS)/run ## frames per second, latency and CPU for 1, 8 and 16 cameras: make bench CLIP=video.mp4
	@test -n "$(CLIP)" || { echo "which video? make bench CLIP=video.mp4" >&2; exit 2; }
	$(BIN)/mien bench "$(CLIP)"

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,scene]'
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[cpu,scene,distributed,dev]'
	@touch $@

$(STAMPS)/debian: tests/debian-packages.txt tests/install-debian-packages.sh | $(STAMPS)/venv
	@tests/install-debian-packages.sh tests/debian-packages.txt $(VENV)/debian
	@touch $@

$(STAMPS)/servers: tests/servers/kafka.xml tests/servers/elasticsearch.xml | $(STAMPS)/dev
	@$(BIN)/python -m tests.servers fetch
	@touch $@

# Where Go is missing, the tests that need these tools skip and say so.
$(STAMPS)/go-tools: tests/install-go-tools.sh | $(STAMPS)/venv
	@tests/install-go-tools.sh >/dev/null || [ $$? -eq 3 ]
	@touch $@
