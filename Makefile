# make run        install everything and serve the page on port 7860
# make test       install everything and run the tests; PYTEST=tests/unit runs some of them
# make check      lint, format, types, known vulnerabilities; also of the page's scripts
# make long       the tests that `make test` omits: fuzz, soak, page states, Ray, extreme sizes, more photos
# make fuzz       damaged images for half an hour; SECONDS=60; failures are saved in fuzz-failures/ with their command
# make soak       the server under load for about ten minutes; SOAK="--seconds 60 --clients 20"
# make container  build the container image with CUDA and run it without Docker: as root on Debian, 7 GB of disk space
# make states     every state of the page in both languages: accessibility, layout, translation
# make bench      speed and memory of the engine; BENCH=--docs updates docs/
# make page       response times of the page with a photo of 24 megapixels
# make quality    quality of the presets; QUALITY="--only presets"; QUALITY=--docs updates the documents
# make space      REPO=owner/name uploads the project to a Hugging Face Space; SPACE=--dry-run lists the files
# make lock       update requirements.lock to the newest releases that requirements.txt allows
#
# Without an NVIDIA GPU, the CPU build of PyTorch is installed, which is 2.8 GB smaller. TORCH=cu130 selects another
# build, TORCH=pip the build of pip's own index.

PYTHON ?= python3
TORCH ?= auto
BIN := .venv/bin
RUN_TESTS := PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=passive .venv/bin/python -m pytest
DEBIAN := chromium-headless-shell fonts-noto-cjk libimage-exiftool-perl poppler-utils libgl1 nginx-light
WITH_WINDOW := $(DEBIAN:chromium-headless-shell=chromium)

.PHONY: run test long check bench fuzz soak container states page quality space space-name lock fetch debian clean

run: fetch
	$(BIN)/python app.py

fetch: .venv/.run-ready
	$(BIN)/python -m weights fetch

# Three test files run at a time, also on two cores, because tests of the page and of servers wait most of their time.
# OMP_WAIT_POLICY lets idle threads sleep, so that the other processes can work. One thread for each process needs a tenth
# less time of the processor than two. Python stores its bytecode even where the environment forbids that, because every
# process would compile the same files.
# Files run in their order, not those with the most tests first: slow files have few tests and would run last, on one core.
test: debian .venv/.test-ready fetch
	OMP_NUM_THREADS=1 $(RUN_TESTS) -n 3 --dist loadfile --no-loadscope-reorder $(PYTEST)

long: debian .venv/.test-ready fetch
	ENHANCE_FUZZ=60 $(RUN_TESTS) --timeout 0 -m long

check: .venv/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m tests.javascript
	$(BIN)/python -m tests.audit

fuzz: SECONDS ?= 1800
fuzz: .venv/.test-ready
	ENHANCE_FUZZ=$(SECONDS) $(RUN_TESTS) --timeout 0 -s -m long tests/unit/test_fuzz.py

bench: .venv/.test-ready fetch
	$(BIN)/python -m docs.make_bench $(BENCH)

soak: .venv/.test-ready fetch
	$(BIN)/python -m tests.soak $(SOAK)

container: DEBIAN := buildah netavark debootstrap
container: debian .venv/.test-ready
	$(RUN_TESTS) --timeout 0 tests/container.py

states: debian .venv/.test-ready fetch
	$(RUN_TESTS) -m long tests/ui/test_every_state.py

page: debian .venv/.test-ready fetch
	OMP_WAIT_POLICY=passive $(BIN)/python -m docs.measure_page

quality: .venv/.test-ready fetch
	OMP_WAIT_POLICY=passive $(BIN)/python -m tests.quality $(QUALITY)

ifneq ($(filter --dry-run,$(SPACE)),)
space:
	$(PYTHON) docs/make_space.py $(REPO) $(SPACE)
else
space: space-name .venv/.run-ready
	$(BIN)/python docs/make_space.py $(REPO) $(SPACE)
endif

# The name is checked before everything is installed.
space-name:
	@test -n "$(REPO)" || { echo "Set REPO=owner/name, or SPACE=--dry-run to list the files." >&2; exit 2; }

lock: .venv/.test-ready
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.13 --python-platform linux \
		--no-config --custom-compile-command "make lock" --output-file requirements.lock requirements.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache .bench

.venv/bin/python:
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) debian DEBIAN=python3-venv
	$(PYTHON) -m venv .venv

# Without a GPU, a build of PyTorch from pip's local folder (find-links) is used, if there is one. Otherwise uv selects the
# build for this GPU or CPU and its index. If the index cannot be reached, pip installs its own choice.
.venv/.run-ready: requirements.txt | .venv/bin/python
	@grep '^torch' requirements.txt >.venv/torch.txt; \
	if [ $(TORCH) = pip ] || $(BIN)/python -c 'import torch, torchvision' 2>/dev/null; then :; \
	elif [ $(TORCH) = auto ] && ! command -v nvidia-smi >/dev/null && $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --no-index --no-deps -r .venv/torch.txt 2>/dev/null; then :; \
	elif ! $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' || \
		! UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=1 $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--torch-backend=$(TORCH) --requirements .venv/torch.txt 2>/dev/null; then \
		echo 'Cannot reach the PyTorch index. Installing the build of the pip index.'; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.test-ready: requirements.txt tests/requirements.txt .venv/.run-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r tests/requirements.txt
	touch $@

# The browser, and tools that check the output files. On other systems than Debian, their tests are skipped. Releases
# without chromium-headless-shell have chromium, with which the tests take longer.
debian:
	@if command -v apt-get >/dev/null && ! dpkg -s $(DEBIAN) >/dev/null 2>&1 && \
		! dpkg -s $(WITH_WINDOW) >/dev/null 2>&1; then \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		install="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends"; \
		$$sudo apt-get update -qq && { $$install $(DEBIAN) >/dev/null || \
			$$install $(WITH_WINDOW) >/dev/null; }; \
	fi
