# The project's commands. Each creates its own virtual environment (.venv) on first use.
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help env demo test lint links docs docs-report bench clean

help:  ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

env:  ## create .venv from requirements.txt (the other commands do this themselves)
	@PYTHON="$(PYTHON)" sh scripts/setup_env.sh

demo: env  ## run the whole chain on the shipped events: runs/demo/report/report.html, some 5 minutes
	@$(PY) scripts/run_chain.py --config scripts/configs/demo.toml

test: env  ## run all tests, including one complete end-to-end run; COVERAGE=1: and what they reach
	@$(PY) -c 'import pythia8mc' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check --only-binary :all: pythia8mc==8.317.2 || \
		{ [ -z "$$CI" ] && echo "Pythia 8 could not be installed: the tests of event generation are skipped"; }
	@mkdir -p build && $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term)

lint: env  ## run ruff and pyright
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(MAKE) -s links
	@$(PY) -m pyright --pythonpath $(PY)

# codae_l1.data lies in data/; tools that read the sources without importing them find it by these links.
links:
	@rm -rf build/lint && mkdir -p build/lint/codae_l1
	@for f in data models quantization hls scripts; do ln -s ../../../$$f build/lint/codae_l1/$$f; done
	@ln -s ../../../scripts/package/__init__.py ../../../scripts/package/py.typed build/lint/codae_l1/

docs: env links  ## build the documentation as a site: build/docs/index.html; broken links are errors
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

docs-report: env  ## copy the report of runs/demo into docs/, with its picture, and run the tutorials on it
	@$(PY) docs/site/report.py runs/demo
	@$(PY) docs/site/notebooks.py --write docs/tutorials/*.ipynb

bench: env  ## measure speed, as ratios to named peers in one run (benchmarks/)
	@for f in benchmarks/bench_*.py; do $(PY) $$f || exit $$?; done

clean:  ## remove the environment and everything that was built; runs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
