# make run    the page on port 7860          make test   all tests, their set-up included
# make check  lint, format, types, audit     make bench  what this machine makes of the engine
# make bench BENCH=--docs writes its figures into docs/ and README
# make fuzz   damaged pictures for half an hour, or SECONDS=60; what fails lies in fuzz-failures/ with its command
# make soak   the app under load for ten minutes and a bit, on this machine alone; SOAK="--seconds 60 --clients 20"
# make quality  how near to the truth the presets come, on photos spoilt in seven ways; QUALITY="--quick"
# make space REPO=owner/name  this folder as a Space; SPACE=--dry-run says what would be sent
# make lock   requirements.lock anew, of the newest releases that requirements.txt takes
#
# Where no NVIDIA card is seen, PyTorch comes without 2.8 GB of CUDA. TORCH=cu130 takes another build, TORCH=pip that of
# pip's own index.

PYTHON ?= python3
TORCH ?= auto
BIN := .venv/bin
DEBIAN := chromium fonts-noto-cjk pngcheck libimage-exiftool-perl poppler-utils libgl1 nginx-light

.PHONY: run test check bench fuzz soak quality space lock fetch debian clean

run: fetch
	$(BIN)/python app.py

fetch: .venv/.run-ready
	$(BIN)/python -m weights fetch

# Two files of tests at a time, for two cores; the threads of one sleep while they wait, so that the other can work.
# In their order, and not those of many tests first: what takes long has few, and would be left for one core at the end.
test: debian .venv/.test-ready fetch
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)

check: .venv/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m tests.audit

fuzz: SECONDS ?= 1800
fuzz: .venv/.test-ready
	ENHANCE_FUZZ=$(SECONDS) $(BIN)/python -m pytest -s tests/unit/test_fuzz.py

bench: .venv/.test-ready fetch
	$(BIN)/python -m docs.make_bench $(BENCH)

soak: .venv/.test-ready fetch
	$(BIN)/python -m tests.soak $(SOAK)

quality: .venv/.test-ready fetch
	OMP_WAIT_POLICY=passive $(BIN)/python -m tests.quality $(QUALITY)

space: .venv/.run-ready
	$(BIN)/python docs/make_space.py $(REPO) $(SPACE)

lock: .venv/.test-ready
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.12 --python-platform linux \
		--no-config --custom-compile-command "make lock" --output-file requirements.lock requirements.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache .quality .bench

.venv/bin/python:
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) debian DEBIAN=python3-venv
	$(PYTHON) -m venv .venv

# Without a card the builds in a folder that pip is told of (find-links) are taken, if there are any. Else uv knows where
# each build of PyTorch is kept, and which one suits the card; where that is out of reach, pip goes on alone.
.venv/.run-ready: requirements.txt | .venv/bin/python
	@grep '^torch' requirements.txt >.venv/torch.txt; \
	if [ $(TORCH) = pip ] || $(BIN)/python -c 'import torch, torchvision' 2>/dev/null; then :; \
	elif [ $(TORCH) = auto ] && ! command -v nvidia-smi >/dev/null && $(BIN)/python -m pip install --quiet \
		--disable-pip-version-check --no-index --no-deps -r .venv/torch.txt 2>/dev/null; then :; \
	elif ! $(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' || \
		! UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=1 $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--torch-backend=$(TORCH) --requirements .venv/torch.txt 2>/dev/null; then \
		echo 'The builds of PyTorch are out of reach: pip takes the one that it finds.'; \
	fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.test-ready: requirements.txt tests/requirements.txt .venv/.run-ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r tests/requirements.txt
	touch $@

# The browser and the tools that look at our files from outside; elsewhere than on Debian those tests say that they skip.
debian:
	@if command -v apt-get >/dev/null && ! dpkg -s $(DEBIAN) >/dev/null 2>&1; then \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; \
	fi
