# demo and test do everything on a fresh machine with Python >= 3.11: they make .venv, install and run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
, := ,
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test lint format quality bench bench-quick bench-gradient long-memory sanitize sanitize-threads amx neon clean

# what the native module is built from
NATIVE := CMakeLists.txt $(wildcard native/*) $(wildcard src/elman/cells/*.py) $(wildcard src/elman/kernels/generator/*.py)

$(VENV)/.installed: pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "elman needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; call make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -C cmake.define.ELMAN_WERROR=ON -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install -c constraints.txt -C cmake.define.ELMAN_WERROR=ON -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/elman demo

# a process a core, each with one thread
test: $(VENV)/.installed-dev
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -n auto --dist loadfile $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# real data beside published figures (hours; docs/results.md says how long each takes); ELMAN_DATA
# names the folder of data sets, ARGS="--task trec --seeds 1" a part
quality: $(VENV)/.installed
	$(BIN)/python benchmarks/quality.py $(ARGS)

# speed against torch.nn, torch.compile, ONNX Runtime and JAX (an hour and more), and a part of it
bench: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/end_to_end.py

bench-quick: $(VENV)/.installed
	$(BIN)/python benchmarks/speed.py --quick

# what watching the gradient costs and checkpointing saves (five minutes)
bench-gradient: $(VENV)/.installed
	$(BIN)/python benchmarks/gradient_flow.py

# which networks learn what lies far back, and whether the diagnosis told it early (an hour and a
# half on two cores); ELMAN_DATA names the folder of data sets
long-memory: $(VENV)/.installed
	$(BIN)/python benchmarks/long_memory.py

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) install -c constraints.txt -C cmake.define.ELMAN_WERROR=ON -e '.[bench]'
	touch $@

# a native module of its own, in build/NAME, for tests: $(call native,NAME,options of CMake)
define native
$(BIN)/cmake -S . -B build/$(1) $(2) -DELMAN_WERROR=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
		-Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir)
	$(BIN)/cmake --build build/$(1) --parallel
	ln -sfn ../../native build/$(1)/include
endef
# the processor's tiles (AMX) by plain instructions
TILES := -DELMAN_TILES=$(CURDIR)/tests/emulated/tiles.h

# the tests of the kernels under AddressSanitizer and UndefinedBehaviorSanitizer
sanitize: $(VENV)/.installed-dev
	$(call native,sanitize,-DELMAN_SANITIZE=address$(,)undefined $(TILES))
	ELMAN_TEST_NATIVE=$$(ls $(CURDIR)/build/sanitize/_native*.so) \
	ASAN_OPTIONS=detect_leaks=0:verify_asan_link_order=0 \
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libubsan.so)" \
		$(BIN)/python -m pytest tests/kernels tests/nn/test_nn_stepper.py tests/nn/test_nn_stacks*.py $(ARGS)

# threads with a barrier that ThreadSanitizer sees stand for OpenMP's team
sanitize-threads: $(VENV)/.installed-dev
	$(call native,threads,-DELMAN_SANITIZE=thread)
	ELMAN_TEST_NATIVE=$$(ls $(CURDIR)/build/threads/_native*.so) \
	TSAN_OPTIONS=halt_on_error=1 \
	LD_PRELOAD="$$(c++ -print-file-name=libtsan.so)" \
		setarch -R $(BIN)/python -m pytest tests/kernels/test_kernels_cpu.py tests/kernels/test_kernels_tiles.py \
			-k "threads or fed_back" $(ARGS)

# the tests of bfloat16 in tiles, emulated, for processors with AVX-512 and without AMX (three minutes)
amx: $(VENV)/.installed-dev
	$(call native,amx,$(TILES))
	ELMAN_TEST_NATIVE=$$(ls $(CURDIR)/build/amx/_native*.so) OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n auto --dist loadfile tests/kernels tests/ops/test_ops_bfloat16.py \
			tests/nn/test_nn_stepper.py tests/nn/test_nn_packed.py tests/nn/test_nn_stacks_train.py $(ARGS)

# the tests of the kernels on their ARM64 build, emulated (a quarter of an hour)
neon: $(VENV)/.installed-dev
	tests/emulated/neon.sh $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .coverage .coverage.* dist build
