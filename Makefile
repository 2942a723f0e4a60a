# make demo   see the main job done: a small model on a sample scene, with a page of pictures
# make test   everything that must hold: lint, types, tests
# make bench  ratios against stated baselines
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
PLUGINS := $(sort $(dir $(wildcard plugins/*/pyproject.toml)))

.PHONY: demo test lint types tests bench test-online clean

demo: $(VENV)/.installed
	$(BIN)/zoo demo zoo-demo
	@echo "== open zoo-demo/index.html in a browser"

test: lint types tests

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

tests: $(VENV)/.installed
	$(BIN)/pytest -m "not online" -q -n $(WORKERS) --durations=10

bench: $(VENV)/.installed
	for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

test-online: $(VENV)/.installed
	$(BIN)/pytest -m online -q

$(VENV)/.installed: pyproject.toml constraints.txt $(wildcard plugins/*/pyproject.toml)
	@echo "== environment in $(VENV) (torch is large; the first time takes a while)"
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'zoo needs Python 3.11 or newer')"
	command -v uv >/dev/null || $(PYTHON) -m pip install --quiet uv
	UV=$$(command -v uv || echo "$(PYTHON) -m uv"); \
	  { [ -x $(BIN)/python ] || $$UV venv --quiet --seed --python $(PYTHON) $(VENV); } && \
	  $$UV pip install --quiet --python $(BIN)/python -c constraints.txt -b constraints.txt \
	    --group dev -e . $(addprefix -e ./,$(PLUGINS))
	@touch $@

clean:
	rm -rf $(VENV) zoo-demo
