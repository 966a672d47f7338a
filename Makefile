SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ANSIBLE_FORCE_COLOR ?= $(if $(MAKE_TERMOUT),1,0)

INVENTORY ?= inventories/sandbox
PLAYBOOK := ansible-playbook -i $(INVENTORY)

# Debian packages of the controller, and what throw-away hosts and tests need besides.
PACKAGES := ca-certificates git openssh-client python3-venv
SANDBOX_PACKAGES := debian-archive-keyring e2fsprogs iproute2 mmdebstrap nftables systemd-container
# The unit tests, some of which are gates of a build, use a real PostgreSQL, without a cluster of the system, and restic.
BUILD_PACKAGES := postgresql restic
TEST_PACKAGES := chromium libnss3-tools procps

FRONT_ENDS := files/extension files/event-server/dashboard

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: up
up: root build sandbox-packages ## Create a throw-away host on this machine and deploy to it
	ansible-playbook -i inventories/sandbox playbooks/sandbox.yml
	ansible-playbook -i inventories/sandbox site.yml

.PHONY: down
down: root tools sandbox-packages ## Remove the throw-away host and every trace of it
	ansible-playbook -i inventories/sandbox playbooks/sandbox.yml -e sandbox_host_state=absent

.PHONY: deploy
deploy: build ## Deploy to INVENTORY=inventories/single, or another
	$(PLAYBOOK) site.yml

.PHONY: rollback
rollback: tools ## Return INVENTORY to the last good release, or to RELEASE=...
	$(PLAYBOOK) playbooks/rollback.yml -e release=$(RELEASE)

.PHONY: backup
backup: tools ## Make a snapshot of INVENTORY's data now
	$(PLAYBOOK) playbooks/backup.yml

.PHONY: status
status: tools ## Show what INVENTORY runs, how it is, and how it came to that
	$(PLAYBOOK) playbooks/status.yml

.PHONY: build
build: tools build-packages .venv/bin/promtool ## Build the release bundle
	$(PLAYBOOK) playbooks/build.yml

.PHONY: test
test: lint unit integration molecule ## All that is below, as CI does

.PHONY: lint
lint: tools $(FRONT_ENDS:=/node_modules) ## Linters and type checkers
	uv lock --check --quiet
	ruff check
	ruff format --check
	mypy plugins tests/unit
	mypy tests/integration
	mypy molecule benchmarks
	mypy --package quality_gates
	mypy --package cell_monitor_release
	mypy --package cell_monitor_backup
	mypy roles/jupyterlab/files
	mypy --package cell_monitor_host
	mypy --package cell_monitor_jobs
	mypy --package cell_monitor_maintenance
	mypy --package cell_monitor_incident
	mypy files/event-server/src
	mypy files/extension/cell_monitor
	mypy files/systemd-kernels/src
	yamllint --strict .
	ansible-lint --offline --profile production
	cd files/extension && jlpm lint:check
	cd files/event-server/dashboard && jlpm lint:check

.PHONY: unit
unit: tools build-packages .venv/bin/promtool $(FRONT_ENDS:=/node_modules) ## Unit tests
	pytest --numprocesses=2 --dist=worksteal tests/unit
	PYTHONPATH=roles/quality_gates/files python -m quality_gates test
	cd files/systemd-kernels && pytest
	cd files/event-server/dashboard && jlpm test

.PHONY: integration
integration: test-packages ## The extension on the oldest and the newest JupyterLab 4
	pytest tests/integration

.PHONY: molecule
molecule: root test-packages sandbox-packages ## The Molecule scenario `default`, on hosts made for it
	molecule test --no-command-borders

.PHONY: scenarios
scenarios: root test-packages sandbox-packages ## The other scenarios, one after another, which takes an hour and a half
	for name in upgrade rollback alerts incidents care restore local; do molecule test --no-command-borders -s $$name; done

.PHONY: test-faults
test-faults: tools build-packages ## 500 kills of the event server under load on each store, and other faults of 20 s
	cd files/event-server && pytest tests/test_faults.py --kills=500 --fault-seconds=20 -rP

.PHONY: bench-deploy
bench-deploy: root build sandbox-packages ## Time a deploy beside a hand-written script's
	python benchmarks/deploy.py

.PHONY: bench-cell
bench-cell: up test-packages ## Time a cell with the extension beside one without it
	PYTHONPATH=molecule python benchmarks/cell.py

.PHONY: bench-overview
bench-overview: tools ## Time the instructor's overview beside a computation from the store
	python benchmarks/overview.py

.PHONY: bench-ingest
bench-ingest: tools build-packages ## Time how events are taken, beside the usual way and raw databases
	python benchmarks/ingest.py

.PHONY: bench-memory
bench-memory: tools ## Watch the event server's memory over a million events
	python benchmarks/memory.py

.PHONY: root
root:
	@[ "$$(id -u)" -eq 0 ] || { echo "make: sandbox hosts need root on this machine, and this is $$(id -un)" >&2; exit 1; }

.PHONY: tools
tools: .venv/.complete ## Install what the controller needs

.venv/.complete: pyproject.toml uv.lock requirements-bootstrap.txt requirements.yml | packages
	[ -x .venv/bin/python ] || python3 -m venv .venv
	[ -x .venv/bin/uv ] || .venv/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements-bootstrap.txt
	UV_PROJECT_ENVIRONMENT=.venv uv sync --frozen --quiet
	ansible-galaxy collection install -r requirements.yml >/dev/null
	touch $@

# Out of Debian's packages, which would start services here.
.venv/bin/promtool: | tools
	mkdir -p build/checkers
	cd build/checkers && { apt-get -qq download prometheus prometheus-alertmanager || { apt-get -qq update && apt-get -qq download prometheus prometheus-alertmanager; }; }
	for package in build/checkers/*.deb; do dpkg-deb --fsys-tarfile $$package | tar --extract --wildcards --directory .venv/bin --strip-components 3 './usr/bin/*tool'; done
	rm -r build/checkers
	touch $@

# $(call install_packages,names): Debian packages that are not there yet.
define install_packages
@missing=$$(comm -23 <(printf '%s\n' $(1) | sort) <(dpkg-query --show --showformat '$${db:Status-Status} $${Package}\n' | sed -n 's/^installed //p' | sort)); \
[ -z "$$missing" ] || { \
  [ "$$(id -u)" -eq 0 ] || { echo "make: these Debian packages are missing, run as root or install them:" $$missing >&2; exit 1; }; \
  echo "Installing Debian packages:" $$missing; \
  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends $$missing >/dev/null; }
endef

.PHONY: packages
packages:
	$(call install_packages,$(PACKAGES))

.PHONY: sandbox-packages
sandbox-packages:
	$(call install_packages,$(SANDBOX_PACKAGES))

.PHONY: build-packages
build-packages:
	@[ -e /etc/postgresql-common ] || [ "$$(id -u)" -ne 0 ] || { mkdir /etc/postgresql-common; echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; }
	$(call install_packages,$(BUILD_PACKAGES))

.PHONY: test-packages
test-packages: build
	$(call install_packages,$(TEST_PACKAGES))

$(FRONT_ENDS:=/node_modules): %/node_modules: %/package.json %/yarn.lock | tools
	cd $* && jlpm install --immutable
	touch $@

.PHONY: clean
clean: down ## Also remove what was built; secrets in credentials/ stay
	rm -rf build $(FRONT_ENDS:=/node_modules)
