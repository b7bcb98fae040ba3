// Package manyprocs holds the tests that take more than one process: the test
// binary starts itself again as workers, which share one credential in a store
// while the test runs the authorization server, and kills, suspends or starves
// some of them, or sets their clocks.
//
//	go test ./internal/manyprocs                              // a few seconds
//	go test -tags realservers -run Real ./internal/manyprocs  // a minute or so, with a real Redis, as root
//
// The server of auth/authtest rotates refresh tokens and revokes everything when
// a spent one comes back, so it notices every pair of processes that refreshed
// at once.
package manyprocs
