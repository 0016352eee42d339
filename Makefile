# The project's commands; each makes its own virtual environment (.venv) on first use.
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help env demo test lint links docs bench clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-6s %s\n", $$1, $$2}'

env:  ## make .venv from requirements.txt (demo, test, lint and bench do it themselves)
	@PYTHON="$(PYTHON)" sh scripts/setup_env.sh

demo: env  ## the whole chain on the shipped events: runs/demo/report/report.html, at most 10 minutes
	@$(PY) scripts/run_chain.py --config scripts/configs/demo.toml

test: env  ## all tests, one true end-to-end run among them, at most 15 minutes
	@$(PY) -c 'import pythia8mc' 2>/dev/null || $(PY) -m pip install --quiet --disable-pip-version-check --only-binary :all: pythia8mc==8.317.2 || \
		{ [ -z "$$CI" ] && echo "Pythia 8 could not be installed: the tests of event generation are skipped"; }
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: env  ## ruff and pyright
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@$(MAKE) -s links
	@$(PY) -m pyright --pythonpath $(PY)

# codae_l1.data lies in data/; tools that read the sources without importing them find it by these links.
links:
	@rm -rf build/lint && mkdir -p build/lint/codae_l1
	@for f in data models quantization hls scripts; do ln -s ../../../$$f build/lint/codae_l1/$$f; done

docs: env links  ## the documentation as a site: build/docs/index.html; broken links and references are errors
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

bench: env  ## speed, as ratios against named peers in one run (benchmarks/)
	@for f in benchmarks/bench_*.py; do $(PY) $$f || exit $$?; done

clean:  ## remove the environment and everything that was built; runs/ stays
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
