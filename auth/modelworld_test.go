package auth_test

import (
	"time"

	"pgregory.net/rapid"
)

// The worlds and the steps of the model test (model_test.go).

type widening uint8

const (
	narrows widening = iota
	refuses
	widens
)

// modelConfig is one world.
type modelConfig struct {
	managers     int
	rotate       bool
	grace, life  time.Duration // life 0: no expires_in
	widening     widening
	grant        string // "", "person" or "service"
	idle         bool
	withoutStore bool
}

func modelConfigs(wild bool) *rapid.Generator[modelConfig] {
	return rapid.Custom(func(t *rapid.T) modelConfig {
		c := modelConfig{
			managers: rapid.IntRange(1, 2).Draw(t, "managers"),
			rotate:   rapid.SampledFrom([]bool{true, true, false}).Draw(t, "rotate"),
			grace:    rapid.SampledFrom([]time.Duration{0, 0, 10 * time.Second, time.Hour}).Draw(t, "grace"),
			// Not so short that a token dies while its own login waits for the store's lock.
			life:     rapid.SampledFrom([]time.Duration{time.Hour, 0, 30 * time.Second, 90 * time.Second, 24 * time.Hour}).Draw(t, "life"),
			widening: rapid.SampledFrom([]widening{narrows, refuses, widens}).Draw(t, "widening"),
			grant:    rapid.SampledFrom([]string{"", "person", "service"}).Draw(t, "grant"),
			idle:     rapid.Bool().Draw(t, "idle"),
		}
		c.withoutStore = wild && c.managers == 1 && rapid.IntRange(0, 3).Draw(t, "withoutStore") == 3
		return c
	})
}

// modelOp is one step.
type modelOp struct {
	what    string
	manager int
	async   bool          // the next step does not wait for it
	patient time.Duration // how long the caller waits
	sleep   time.Duration
	scopes  []string
	// operation is what the request is for; few, so that they repeat.
	operation string
	faults    []modelFault
	store     [3]bool // load, save, lock fail
	after     bool    // a failing save has happened all the same
}

func modelOps(wild bool) *rapid.Generator[modelOp] {
	kinds := []string{
		"nothing", // what rapid makes of a step that a failure does not need
		"token", "token", "token", "token", "storm", "reject", "reject", "reject old", "needs", "needs", "upgrade", "refresh",
		"sleep", "sleep", "sleep", "sleep", "faults", "faults", "faults", "faults", "store", "store", "heal", "heal",
		"set", "set refresh", "revoke", "restart", "kill", "authorize", "challenge", "request", "request", "request", "flaky", "flaky",
	}
	naps := []time.Duration{
		time.Nanosecond, 20 * time.Millisecond, 333 * time.Millisecond, time.Second, 5 * time.Second, 14 * time.Second, 16 * time.Second,
		31 * time.Second, time.Minute, 4*time.Minute + 59*time.Second, 6 * time.Minute, 31 * time.Minute, 55 * time.Minute, time.Hour, 25 * time.Hour,
	}
	return rapid.Custom(func(t *rapid.T) modelOp {
		op := modelOp{what: rapid.SampledFrom(kinds).Draw(t, "what"), manager: rapid.IntRange(0, 1).Draw(t, "manager")}
		op.patient = 5 * time.Minute
		switch op.what {
		case "sleep":
			op.sleep = rapid.SampledFrom(naps).Draw(t, "nap") + time.Duration(rapid.IntRange(0, 1000).Draw(t, "odd"))*time.Microsecond
			return op
		case "faults":
			op.faults = rapid.SliceOfN(rapid.Map(rapid.IntRange(0, int(modelFaults)-1), func(i int) modelFault { return modelFault(i) }), 1, 12).Draw(t, "faults")
			return op
		case "store":
			op.store = [3]bool{rapid.Bool().Draw(t, "load"), rapid.Bool().Draw(t, "save"), rapid.Bool().Draw(t, "lock")}
			op.after = wild && rapid.Bool().Draw(t, "after")
			return op
		case "needs", "upgrade":
			op.scopes = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 2, rapid.ID[string]).Draw(t, "scopes")
		case "nothing", "heal", "set", "set refresh", "restart", "kill":
			return op
		}
		op.operation = rapid.SampledFrom([]string{"", "tools/call a", "tools/call b"}).Draw(t, "operation")
		op.async = rapid.IntRange(0, 3).Draw(t, "async") == 0
		op.patient = rapid.SampledFrom([]time.Duration{5 * time.Minute, 5 * time.Minute, time.Second, 16 * time.Second, time.Millisecond}).Draw(t, "patient")
		return op
	})
}
