// Package soak lets mcp-go clients work for days against the test kit while all
// that can go wrong does, at random: its faults at every endpoint, revocations,
// a store that fails, clients that are restarted. Every call has to end, by its
// own deadline, in a result or in an error that its caller can tell from others,
// and at the end of each day nothing may be left: no goroutine, no memory, no
// file descriptor.
//
//	go test ./internal/soak                          // some seconds
//	go test ./internal/soak -soak 30m -timeout 40m -v // as many days as that takes
//	go test ./internal/soak -seed 42                 // that day again
//
// A day is one of a testing/synctest bubble, which takes a second or two; days
// on real sockets, a thousand times as fast as they should be, come in between.
package soak
