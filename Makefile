# SPDX-License-Identifier: Apache-2.0
# Works on a machine without ROS; with ROS 2 installed, use colcon (README).
#
#   make demo     render a short sequence, play it into the live node, show the error and a picture
#   make test     lint and all tests
#   make bench    frames lost, latency, CPU and memory of the live node
#   make bench-peers SEQUENCES='DIR...' [RUNS=3] [OUTPUT=FILE.md]
#                 this package beside OpenCV, Open3D and classic trackers, on recordings with truth;
#                 the median of RUNS runs, saved as OUTPUT (a new file in benchmarks/results if none)
#   make bench-refine SEQUENCES='DIR...' [RUNS=1] [OUTPUT=FILE.md]
#                 flowcam refine beside COLMAP on the same frames, saved in the same way
#   make setup    only set up .venv (the others do that by themselves)
#   make lint     style, types and layers
#   make help     this text; so does make alone
#   make clean    remove everything that was generated, .venv included
#   make lock     renew the pinned versions in standalone/constraints.txt
#
# PYTHON=python3.12 chooses the interpreter, TORCH_INDEX=https://download.pytorch.org/whl/cu130
# another build of torch.

PYTHON ?= python3
TORCH_INDEX ?=
RUNS ?=
SEQUENCES ?=
OUTPUT ?=
BIN := .venv/bin

# Another environment or a sourced ROS installation would mix with .venv.
ifneq ($(AMENT_PREFIX_PATH)$(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONHOME PYTHONPATH VIRTUAL_ENV
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

CHECK_PYTHON := import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit( \
	"set-up: Python %d.%d will not do, 3.10 to 3.13 will: make PYTHON=python3.12" % v)

.PHONY: help demo test bench bench-peers bench-refine setup lint clean lock

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))

demo: setup
	$(BIN)/flowcam demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

bench: setup
	$(BIN)/python -m benchmarks.live

# The peers need other versions of OpenCV than this package: they get .venv-peers.
bench-peers: $(if $(strip $(SEQUENCES)),setup)
	$(if $(strip $(SEQUENCES)),,@echo "bench-peers: say which recordings: \
	make bench-peers SEQUENCES='DIR...'" >&2; exit 2)
	$(BIN)/python -m benchmarks.peers $(if $(RUNS),--runs $(RUNS)) \
	$(if $(OUTPUT),--output $(OUTPUT)) $(SEQUENCES)

bench-refine: $(if $(strip $(SEQUENCES)),setup)
	$(if $(strip $(SEQUENCES)),,@echo "bench-refine: say which recordings: \
	make bench-refine SEQUENCES='DIR...'" >&2; exit 2)
	$(BIN)/python -m benchmarks.refine $(if $(RUNS),--runs $(RUNS)) \
	$(if $(OUTPUT),--output $(OUTPUT)) $(SEQUENCES)

setup:
	@$(PYTHON) -c '$(CHECK_PYTHON)'
	@$(PYTHON) standalone/set_up.py --torch-index "$(TORCH_INDEX)"

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf .venv .venv-peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
	rm -rf *.egg-info standalone/stand_ins/build standalone/stand_ins/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

lock:
	$(PYTHON) standalone/lock.py
