# `make run` needs Python 3.11+ and make, nothing else. Everything it makes lies in .venv/ and var/.

VENV := .venv
PY := $(VENV)/bin/python
CODE := meshsite web networks agents memory workflows tasks voice
# Programs are run as modules: the scripts in .venv/bin name their interpreter by an absolute path, which a
# moved checkout breaks.
PIP_INSTALL = if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(PY) -r $(1) && exit; fi; \
	$(PY) -m pip install --quiet --disable-pip-version-check -r $(1)

# Tests of real processes and real audio can fail where a machine gives them no core for seconds. Such a test is run
# once more, and the summary names it: one that is named twice a week wants to be looked at.
ONCE_MORE := --reruns 1 -rR

.DEFAULT_GOAL := help
.PHONY: help run test check lint fmt bench soak validate smoke audit lock clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

run: $(VENV)/.runtime ## Install what is missing, then start everything (FLOWER=1, WORKERS=n, PORT=n)
	@exec $(PY) manage.py up $(if $(WORKERS),--workers $(WORKERS))

test: lint ## Run everything that CI runs: lint, types, import contracts, all tests
	$(PY) -m pytest $(ONCE_MORE) -m "not soak and not alone" -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
	$(PY) -m pytest $(ONCE_MORE) -m "alone and not soak"

check: lint ## Run the quick part of it: lint, types, import contracts, unit tests
	$(PY) -m pytest tests/unit

lint: $(VENV)/.dev ## Check format, lint, types and import contracts
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy $(CODE) tests
	$(PY) -c "from importlinter.cli import lint_imports_command as main; main()"

fmt: $(VENV)/.dev ## Format the code and fix what can be fixed
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: $(VENV)/.dev ## Print the performance tables of this machine
	$(PY) -m bench

validate: $(VENV)/.dev ## Call the service with simulated callers and check its objectives (CALLS=n, SECONDS=n)
	$(PY) manage.py validate_objectives $(if $(CALLS),--calls $(CALLS)) $(if $(SECONDS),--seconds $(SECONDS))

smoke: $(VENV)/.dev ## Call the running service once: webhook, stream, one turn (SAY="…", URL=…)
	$(PY) -m tests.fakes.caller $(if $(SAY),--say "$(SAY)") $(if $(URL),--url $(URL))

soak: $(VENV)/.dev ## Run the tests that take minutes
	$(PY) -m pytest -m soak --timeout 3600

audit: $(VENV)/.dev ## Look for known faults in dependencies (needs the network) and in the code
	$(PY) -m pip_audit --disable-pip -r requirements.txt --no-deps
	$(PY) -m bandit --quiet --recursive --severity-level medium $(CODE)

lock: ## Pin the newest fitting versions (needs uv)
	@for name in requirements requirements-extras requirements-dev; do \
		uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
			--no-emit-index-url --no-emit-find-links $$name.in > $$name.new || exit 1; done
	@{ echo '# Exact pins of everything the service needs; made from requirements.in by `make lock`.'; \
		cat requirements.new; } > requirements.txt
	@{ echo '# Exact pins of other transports and the message bus; made from requirements-extras.in by `make lock`.'; \
		echo '-r requirements.txt'; grep -vxFf requirements.new requirements-extras.new; } > requirements-extras.txt
	@{ echo '# Exact pins of what tests and checks need on top; made from requirements-dev.in by `make lock`.'; \
		echo '-r requirements-extras.txt'; grep -vxFf requirements-extras.new requirements-dev.new; } > requirements-dev.txt
	@rm requirements.new requirements-extras.new requirements-dev.new

clean: ## Remove .venv and caches; your data in var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The candidates are run, not only looked up: a version manager's stub exists without its Python, and some
# systems ship Python without ensurepip.
$(PY):
	@if command -v uv >/dev/null 2>&1 && uv venv --quiet --seed --clear --python '>=3.11' $(VENV); then exit 0; fi; \
	for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$($$python --version)."; \
			$$python -m venv --clear $(VENV) && exit 0; \
		fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module was found. Install python3 and python3-venv (or uv)," >&2; \
	echo "or name one: make run PYTHON=/path/to/python3.12" >&2; exit 1

$(VENV)/.runtime: requirements.txt | $(PY)
	@echo "Installing the requirements into $(VENV) (once; about a minute)."
	@$(call PIP_INSTALL,requirements.txt)
	@touch $@

$(VENV)/.dev: requirements.txt requirements-extras.txt requirements-dev.txt | $(PY)
	@echo "Installing the development requirements into $(VENV) (once; about a minute)."
	@$(call PIP_INSTALL,requirements-dev.txt)
	@touch $(VENV)/.runtime $@
