# The entry point. `make help` lists the targets; what each does is in harness/matomo_harness/.
SHELL := /bin/sh
HARNESS := .venv/bin/matomo-harness
# A command that compiles the harness anew each time takes a third longer to begin.
unexport PYTHONDONTWRITEBYTECODE
export MATOMO_BASE MARIADB_BASE MATOMO_VERSION MARIADB_VERSION MATOMO_PORT MATOMO_HTTP_PORT ARCHIVE_SECONDS IMAGE
# WSL sets NAME to what the machine is called, which is no reproduction and no recipe.
ifneq ($(WSL_DISTRO_NAME),)
ifeq ($(origin NAME),environment)
NAME :=
endif
endif

.DEFAULT_GOAL := help
.PHONY: help up down clean console shell traffic repro bundle capture archive fault recipe rehearse-upgrade rehearse-plugin drill token totp logs doctor test-local test-all test-nightly lint \
    e2e-ten pictures docs docs-site gate report mutants bench images versions dist-dev publish-dev publish-stage promote-prod rollback-prod redeploy-dev redeploy-stage redeploy-prod updates release publish-release audit lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The copy of the lock inside .venv is the stamp: a changed lock makes the environment anew.
.venv/requirements.lock: requirements.lock pyproject.toml
	@sh harness/prepare.sh

## -- local stack ---------------------------------------------------------------------------------
up: .venv/requirements.lock ## bring up a running, installed Matomo on this machine: prints URL, login, 2FA
	@$(HARNESS) up

down: .venv/requirements.lock ## stop the local stack, keep its data
	@$(HARNESS) down

clean: .venv/requirements.lock ## remove this checkout's stack, reproductions, snapshots and data, and images that nothing living uses; ALL=1 everything
	@$(HARNESS) clean $(if $(filter 1,$(ALL)),--all)

console: .venv/requirements.lock ## run Matomo's console in the local stack: CMD="core:version"
	@$(HARNESS) console -- $(CMD)

shell: .venv/requirements.lock ## open a shell in the local stack's web container; NAME= in a reproduction's
	@$(HARNESS) shell $(if $(NAME),--repro "$(NAME)")

traffic: .venv/requirements.lock ## fill the local stack with made-up visits, archived: SITES=2 DAYS=30 VISITS=1000; NAME= a reproduction
	@$(HARNESS) traffic $(if $(SITES),--sites "$(SITES)") $(if $(DAYS),--days "$(DAYS)") $(if $(VISITS),--visits "$(VISITS)") $(if $(NAME),--repro "$(NAME)")

archive: .venv/requirements.lock ## run the local stack's archiver now, as the schedule does hourly
	@$(HARNESS) archive

fault: .venv/requirements.lock ## make something go wrong for a while: F="cut db --seconds 5"
	@$(HARNESS) fault $(F)

recipe: .venv/requirements.lock ## bring a known failure about in the local stack: NAME=database-gone; without a name, list them
	@$(HARNESS) recipe $(if $(NAME),run "$(NAME)",list)

rehearse-upgrade: .venv/requirements.lock ## an upgrade on a copy, and both ways back: TO=image, DATABASE_TO=11.8 or both; FROM= a snapshot, a reproduction or an image (DATABASE_FROM=), else the local stack; DATABASE_WAY=dump, POLICY=
	@$(HARNESS) rehearse-upgrade $(if $(TO),--to "$(TO)") $(if $(DATABASE_TO),--database-to "$(DATABASE_TO)") $(if $(DATABASE_WAY),--database-way "$(DATABASE_WAY)") $(if $(DATABASE_FROM),--database-from "$(DATABASE_FROM)") $(if $(FROM),--from "$(FROM)") $(if $(POLICY),--policy "$(POLICY)")

rehearse-plugin: .venv/requirements.lock ## a plugin added, updated or removed on a copy: ADD=folder or zip, UPDATE=, or REMOVE=name; FROM= and POLICY= as above, ROUTE=list
	@$(HARNESS) rehearse-plugin $(if $(ADD),add "$(ADD)")$(if $(UPDATE),update "$(UPDATE)")$(if $(REMOVE),remove "$(REMOVE)") $(if $(FROM),--from "$(FROM)") $(if $(ROUTE),--route "$(ROUTE)") $(if $(POLICY),--policy "$(POLICY)")

token: .venv/requirements.lock ## print an API token of the local stack's superuser, for HARNESS_TOKEN
	@$(HARNESS) token

totp: .venv/requirements.lock ## print the current 2FA code of the local stack's superuser
	@$(HARNESS) totp

repro: .venv/requirements.lock ## a dump of production as a Matomo on this machine, without person data: DUMP=prod.sql.gz (or a bundle) CONFIG=config.ini.php FILES=efs.tar NAME=, UPDATE=1; SINCE=2026-01-31, SITES=1,3, SAMPLE=1% or SCHEMA_ONLY=1 cut it
	@$(HARNESS) repro new $(DUMP) $(if $(NAME),--name "$(NAME)") $(if $(filter 1,$(UPDATE)),--update) $(if $(CONFIG),--config "$(CONFIG)") $(if $(FILES),--files "$(FILES)") $(if $(RULES),--rules "$(RULES)") $(if $(SINCE),--since "$(SINCE)") $(if $(SITES),--sites "$(SITES)") $(if $(SAMPLE),--sample "$(SAMPLE)") $(if $(filter 1,$(SCHEMA_ONLY)),--schema-only)

drill: .venv/requirements.lock ## prove last night's backup in a deployment that is closed and destroyed: DUMP=last-night.sql.gz FILES=efs.tar; AGAINST=numbers.json or URL=https://..., POLICY=, GATE="masking plugins"
	@$(HARNESS) drill $(foreach file,$(DUMP),--dump "$(file)") --files "$(FILES)" $(if $(AGAINST),--against "$(AGAINST)") $(if $(URL),--url "$(URL)") $(if $(AUTHORITY),--authority "$(AUTHORITY)") $(if $(POLICY),--policy "$(POLICY)") $(if $(GATE),--gate "$(GATE)")

capture: .venv/requirements.lock ## what a live configuration says beyond image/ and its policy, as patches: of the local stack, FROM=config.ini.php or efs.tar, CONTAINER=name, EXEC="docker exec -i name", URL=https://..., REPRO=name; TO=directory
	@$(HARNESS) capture $(if $(FROM),--config "$(FROM)") $(if $(CONTAINER),--container "$(CONTAINER)") $(if $(EXEC),--exec "$(EXEC)") $(if $(URL),--url "$(URL)") $(if $(AUTHORITY),--authority "$(AUTHORITY)") $(if $(REPRO),--repro "$(REPRO)") $(if $(TO),--to "$(TO)") $(if $(POLICY),--policy "$(POLICY)") $(if $(AGAINST),--against "$(AGAINST)")

bundle: .venv/requirements.lock ## write one file for a ticket: TO=ticket.zip; REPRO= of a reproduction, else of the local stack; WITH_DATA=1, RULES=
	@$(HARNESS) bundle --to "$(TO)" $(if $(REPRO),--repro "$(REPRO)") $(if $(filter 1,$(WITH_DATA)),--with-data) $(if $(RULES),--rules "$(RULES)")

logs: .venv/requirements.lock ## follow the local stack's logs
	@$(HARNESS) logs

doctor: .venv/requirements.lock ## say what this machine has and lacks
	@$(HARNESS) doctor

## -- tests ---------------------------------------------------------------------------------------
# Those of matomo_harness/matomo/versions.py, or the one that the user chose.
EVERY_VERSION := .venv/bin/python -c 'from matomo_harness.settings import every_version; \
    print(*(chosen.matomo_version for chosen in every_version()))'
PYTEST := .venv/bin/pytest -n 3 --dist loadgroup --junitxml=reports/junit.xml

test-local: lint ## lint, and the quick tests on one Matomo version; T=path narrows, IMAGE=ref tests that image
	@$(HARNESS) prepare --browser --images
	@$(PYTEST) --size local $(T)

test-all: lint ## lint, every test, and on each version the gate and what is quick, as CI does; T= and IMAGE= as above
	@$(HARNESS) prepare --browser --images --all-versions
	@$(PYTEST) --size all $(if $(SHARD),--shard "$(SHARD)") $(T)

test-nightly: .venv/requirements.lock ## run the whole kill matrix and every test on every version: hours; T= narrows to tests, IMAGE= as above
	@$(HARNESS) prepare --browser --images --all-versions
	@$(if $(T),,versions=$$($(EVERY_VERSION)) && for version in $$versions; do \
	    MATOMO_VERSION=$$version $(MAKE) mutants || exit; done)
	@$(PYTEST) --size nightly $(if $(SHARD),--shard "$(SHARD)") $(T)

e2e-ten: .venv/requirements.lock ## run the browser's tests ten times in a row, into a table
	@$(HARNESS) prepare --browser
	@.venv/bin/python tests/ten_runs.py

pictures: .venv/requirements.lock ## record the README's pictures anew
	@$(HARNESS) prepare --browser
	@.venv/bin/python tests/pictures.py

docs: .venv/requirements.lock ## write docs/checks.md, docs/commands.md, the coverage in docs/failure-modes.md and the README's numbers anew
	@.venv/bin/python tests/generated_docs.py

SCHEMA := .venv/bin/check-jsonschema --quiet --builtin-schema vendor
docs-site: .venv/requirements.lock ## build the documents as a site into reports/site, warnings as errors
	@.venv/bin/mkdocs build --strict

lint: .venv/requirements.lock ## ruff, mypy, import layers, shellcheck, hadolint, yamllint, workflows and actions
	@.venv/bin/ruff check --quiet .
	@.venv/bin/ruff format --quiet --check .
	@.venv/bin/mypy --no-error-summary
	@said=$$(.venv/bin/lint-imports --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@.venv/bin/python tests/generated_docs.py --check
	@.venv/bin/codespell $$(git ls-files)
	@.venv/bin/python tests/words.py
	@.venv/bin/shellcheck .ci/* $$(git ls-files "harness/*.sh" "harness/*/start-*") $$(git ls-files image | xargs grep -lE '^#!/bin/(ba)?sh')
	@.venv/bin/hadolint image/Dockerfile image/bases/*/Dockerfile
	@.venv/bin/yamllint --strict compose .github action.yml mkdocs.yml .pre-commit-config.yaml
	@$(SCHEMA).github-workflows .github/workflows/*.yml
	@$(SCHEMA).github-actions action.yml
	@$(SCHEMA).github-issue-config .github/ISSUE_TEMPLATE/config.yml
	@$(SCHEMA).renovate .github/renovate.json
	@said=$$(.venv/bin/zizmor --offline . 2>&1) || { echo "$$said"; exit 1; }
	@echo "lint: clean"

gate: .venv/requirements.lock ## prove every promise: of image/, of IMAGE=ref, of a copy of your project: COMPOSE=file SERVICE=name, or of what runs: URL=https://… (EXEC=), CONTAINER=name
	@$(if $(URL),,$(HARNESS) prepare --browser)
	@$(HARNESS) gate $(if $(ONLY),--only "$(ONLY)") $(if $(POLICY),--policy "$(POLICY)") $(if $(URL),--url "$(URL)") $(if $(COMPOSE),--compose "$(COMPOSE)") $(if $(SERVICE),--service "$(SERVICE)") $(if $(CONTAINER),--container "$(CONTAINER)") $(if $(REPRO),--repro "$(REPRO)") $(if $(EXEC),--exec "$(EXEC)") $(if $(AUTHORITY),--authority "$(AUTHORITY)") $(if $(filter 1,$(ALLOW_HITS)),--allow-hits) $(if $(SUMMARY),--summary "$(SUMMARY)")

report: .venv/requirements.lock ## print the last gate's verdict as Markdown; PR=number also comments on that pull request, FILE=gate.json
	@$(HARNESS) report $(if $(FILE),"$(FILE)") $(if $(PR),--pull-request "$(PR)")

mutants: .venv/requirements.lock ## prove the gate itself: break each promise in turn; T=masking, GENERATED=1, FULL=1, SHARD=1/4
	@$(HARNESS) mutants $(if $(T),--only "$(T)") $(if $(filter 1,$(GENERATED)),--generated) $(if $(filter 1,$(FULL)),--full) $(if $(SHARD),--shard "$(SHARD)")

bench: .venv/requirements.lock ## measure the figures, into reports/bench.json
	@$(HARNESS) prepare
	@$(HARNESS) bench

## -- images --------------------------------------------------------------------------------------
images: .venv/requirements.lock ## build what tests start from, of every version; make test-… does it too
	@$(HARNESS) prepare --images --all-versions

versions: .venv/requirements.lock ## print the Matomo versions that are tested, as a job's output
	@.venv/bin/python -c 'import json; from matomo_harness.matomo import versions; \
	    print(f"versions={json.dumps(versions.NAMES)}")'

updates: .venv/requirements.lock ## say which packages of image/ (IMAGE=ref) have a newer version today; a security update ends in "Error 1"
	@$(HARNESS) updates $(IMAGE)

audit: .venv/requirements.lock ## ask what is known to be wrong in the harness's own packages; a database out of reach ends in "Error 3"
	@.venv/bin/python tests/audit.py

## -- release -------------------------------------------------------------------------------------
release: .venv/requirements.lock ## build the wheel and the source distribution into dist/
	@.venv/bin/python tests/release.py build

publish-release: .venv/requirements.lock ## build and upload a release: TAG=v1.2.3; elsewhere than on GitHub TWINE_USERNAME, TWINE_PASSWORD
	@.venv/bin/python tests/release.py publish --tag "$(TAG)"

dist-dev: .venv/requirements.lock ## build image/ for linux/amd64, as matomo:latest and named by its commit
	@$(HARNESS) prepare
	@$(HARNESS) dist matomo:latest

## -- delivery ------------------------------------------------------------------------------------
# What each is asked: IMAGE= another image, PLAN=1 to see and change nothing, DELIVERY= another file.
ASKED = $(if $(IMAGE),--image "$(IMAGE)") $(if $(filter 1,$(PLAN)),--plan) $(if $(DELIVERY),--delivery "$(DELIVERY)")

publish-dev: .venv/requirements.lock ## push the built image to the registry of dev, under its commit: IMAGE=, PLAN=1
	@$(HARNESS) publish dev $(ASKED)

publish-stage: .venv/requirements.lock ## push it to the registry of stage, with its passport: IMAGE=, PLAN=1
	@$(HARNESS) publish stage $(ASKED)

promote-prod: .venv/requirements.lock ## copy an image of stage to production by digest, if its passport holds: IMAGE=tag or digest, PLAN=1
	@$(HARNESS) promote production $(ASKED)

rollback-prod: .venv/requirements.lock ## have production run the release before: TO=tag or digest, PLAN=1
	@$(HARNESS) rollback production $(if $(TO),--to "$(TO)") $(if $(filter 1,$(PLAN)),--plan) $(if $(DELIVERY),--delivery "$(DELIVERY)")

redeploy-dev: .venv/requirements.lock ## force a new deployment of dev and wait for it: IMAGE=tag or digest, PLAN=1
	@$(HARNESS) redeploy dev $(ASKED)

redeploy-stage: .venv/requirements.lock ## the same of stage
	@$(HARNESS) redeploy stage $(ASKED)

redeploy-prod: .venv/requirements.lock ## the same of production, with the newest release
	@$(HARNESS) redeploy production $(ASKED)

## -- upkeep --------------------------------------------------------------------------------------
UV := 0.13.9
lock: .venv/requirements.lock ## take the newest versions that pyproject.toml allows into requirements.lock
	@.venv/bin/pip install --quiet uv==$(UV)
	@.venv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock
