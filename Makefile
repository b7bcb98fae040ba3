# What people type. .ci/run is the whole check, with or without make.

.PHONY: help test race lint check

help:
	@echo 'make test    the tests of the packages that you changed; P=./auth for others'
	@echo 'make race    the same with the race detector'
	@echo 'make lint    format, vet, staticcheck, golangci-lint'
	@echo 'make check   everything that has to hold before a change lands: .ci/run'

P = $(shell .ci/changed)

test:
	go test $(P)

race:
	go test -race $(P)

lint:
	.ci/lint

check:
	.ci/run
