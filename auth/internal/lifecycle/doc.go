// Package lifecycle decides what happens to one credential: hand its token
// out, wait for an operation, start one, or fail. It does nothing itself. It
// has no I/O, no clock, no lock, no goroutine and no context: every method is
// given the time, and the caller serialises the calls. It knows tokens as
// facts, never as secrets.
//
// The caller is a shell around [Machine]:
//
//	d := machine.Next(now, need)  // what now?
//	machine.Started(op)           // when d names an operation that is not running
//	need.After(op, failure)       // it ended: ask again
//	need = need.Again(token)      // the server refused the request once more: ask again
//	machine.Put(...), .RenewFailed(...), .Accepted(...)  // what happened
//	machine.Wake(now)             // when the one timer is due
//
// Files: machine.go has the types and what happened, next.go the decisions,
// evidence.go what a rejection means, pause.go how long a failure lasts,
// nothingnew.go what a renewal without a new token means, stepups.go how often
// scopes are asked for. The tests hold them to tables, to the decisions that
// other projects got wrong, and to a simulated world. The numbers in brackets in
// their comments are those of the invariants in docs/architecture.md.
package lifecycle
