# `make` alone lists what there is to do. Everything else is in the scripts that the targets call.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# rustup's folder, for shells that were open before it was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help build dist demo recording test engines engines-v2 explore collection lab matrix benchmark comparison fuzz lint release-check

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the static module binary, library/qcss_scanner and its _info
	@tests/setup/install-requirements rust
	@tests/setup/build-module

dist: ## Build the collection, both modules for x86_64 and aarch64, dist/qcss-scanner-VERSION.tar.gz
	@tests/setup/install-requirements rust ansible
	@collection/build

demo: ## Create a scanner on a throwaway Docker engine, repair, roll back, adjust and remove it (as root; DOCKER_HOST= for your own)
	@tests/setup/install-requirements rust ansible engine
	@tests/setup/build-module
	@tests/demo/run

recording: ## Record the demo as docs/demo.svg, for the README (as root)
	@tests/setup/install-requirements rust ansible engine
	@tests/setup/build-module
	@tests/demo/record.py docs/demo.svg

test: ## Run all tests, on throwaway Docker engines (as root)
	@tests/setup/install-requirements rust ansible engine engines ssh foreign
	@tests/setup/build-module
	cargo test --locked -- --test-threads=4 # they wait for engines more than they compute
	@tests/engines/run --few
	@tests/matrix/run --few oldest newest
	@tests/collection/run --few
	@tests/collection/foreign --few
	@tests/lab/run --few

engines: ## Run the integration tests on every kind of engine: Docker, Podman, other Debian suites (as root; KINDS="trixie/podman" for some)
	@tests/setup/install-requirements rust engine engines
	@tests/engines/run $(KINDS)

engines-v2: ## Run them on Docker and Podman of virtual machines with cgroup v2 (as root; an hour without KVM; KINDS="trixie/podman" for some)
	@tests/setup/install-requirements rust engine engines machine
	@tests/engines/run-v2 $(KINDS)

collection: ## Test the collection: its cache, over SSH too, and the gates to publishing it (as root)
	@tests/setup/install-requirements rust ansible ssh foreign
	@tests/collection/run
	@tests/collection/foreign --few
	@tests/collection/gates

lab: ## Roll out images over several hosts, each with an SSH server and an engine, with what goes wrong there (as root; TESTS=… for some)
	@tests/setup/install-requirements rust ansible engine ssh
	@tests/setup/build-module
	@tests/lab/run $(TESTS)

explore: ## Explore two faults, one in each of two runs, on an engine in memory (STRIDE=50 for one in 50 pairs)
	@tests/setup/install-requirements rust
	QCSS_EXPLORE=2/$(or $(STRIDE),20) cargo test --locked --profile explorer --lib explorer -- --nocapture

matrix: ## Run the module with each version of ansible-core, locally and over SSH (as root; VERSIONS="2.14 2.19" for some)
	@tests/setup/install-requirements rust ansible engine ssh
	@tests/setup/build-module
	@tests/matrix/run $(VERSIONS)

benchmark: ## Measure what runs cost, beside community.docker's docker_container, over SSH too (as root)
	@tests/setup/install-requirements rust ansible engine ssh
	@tests/setup/build-module
	@tests/benchmark/run

comparison: ## Do the same with the vendor's command, docker_container and the module, for the README's table (as root)
	@tests/setup/install-requirements rust ansible engine
	@tests/setup/build-module
	@tests/comparison/run

fuzz: ## Feed the module with what a coverage-guided fuzzer finds (SECONDS=60 for each of three targets)
	@tests/setup/install-requirements rust fuzzer
	@tests/fuzz/run $(SECONDS)

lint: ## Check format, clippy, playbooks and YAML
	@tests/setup/install-requirements rust lint ansible
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	.venv/bin/yamllint --strict .
	PATH=$(CURDIR)/.venv/bin:$$PATH ansible-lint --strict -q

release-check: ## What a release has to pass beyond `.ci/run` (as root)
	@tests/setup/install-requirements rust ansible engine ssh foreign
	@tests/collection/run
	@tests/collection/gates --all
	@tests/collection/foreign
	@tests/collection/container
	@tests/collection/unit-tests
	@tests/setup/build-module
	@tests/lab/run
	@tests/matrix/run
