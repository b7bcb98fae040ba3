// Package providertest runs the settings of docs/providers.md against the profiles of authtest: the page's code blocks are its input.
//
//	go test ./internal/providertest -update
//
// writes the blocks into configs_test.go, so that the compiler reads them, and what the test saw into the page's table.
package providertest
