package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// components is package auth as docs/architecture.md draws it.
var components = layout{
	pkg: module + "/auth",
	files: map[string]string{
		"manager.go": "shell", "serve.go": "shell", "operations.go": "shell", "apply.go": "shell", "explain.go": "shell",
		"stepup.go": "shell", "info.go": "shell", "setrecord.go": "shell", "revoke.go": "shell", "steps.go": "shell", "config.go": "shell", "checkconfig.go": "shell",
		"tokensource.go": "shell", "tracer.go": "shell", "pool.go": "pool", "poolconfig.go": "pool", "poolsource.go": "pool", "accounts.go": "pool", "closers.go": "pool",
		"vault.go": "vault", "transaction.go": "vault", "save.go": "vault", "reconcile.go": "vault",
		"renew.go": "renewer", "spend.go": "renewer", "queue.go": "queue", "crowd.go": "crowd",
		"obtain.go": "obtainer", "login.go": "obtainer", "endpoints.go": "obtainer", "heal.go": "obtainer", "begin.go": "obtainer", "assumed.go": "obtainer",
		"flow.go": "flow", "suspend.go": "flow", "post.go": "flow",
		"clients.go": "clients", "credentials.go": "clients",
		"endpoint.go": "endpoint", "answer.go": "endpoint", "sent.go": "endpoint", "proving.go": "endpoint", "habits.go": "endpoint", "retry.go": "retry",
		"wants.go": "wants", "event.go": "events", "memory.go": "memory",
		"doc.go": "values", "source.go": "values", "grant.go": "values", "clientauth.go": "values", "store.go": "values",
		"key.go": "values", "token.go": "values", "scopes.go": "values", "challenge.go": "values", "errors.go": "values", "errorkinds.go": "values", "advice.go": "values",
		"proof.go": "values", "requests.go": "values", "loginrequired.go": "values", "scoperules.go": "values", "values.go": "values", "trouble.go": "values", "network.go": "values", "redact.go": "values",
	},
	types: map[string]string{
		"obtainer": "obtainer", "endpoint": "endpoint", "use": "flow", // in revoke.go and obtain.go
		"Server": "values", "Client": "values", "Endpoints": "values", "chain": "values", "Record": "values", "Token": "values",
	},
	shell: []string{"shell", "pool"},
}

// hooks are the functions that the shell hands down, and so all the ways by which
// something below can call it.
var hooks = map[string]string{
	"auth/internal/flight.Start run":                 "an operation",
	"auth/internal/flight.Start func":                "what applies its result",
	"auth/internal/flight.Arm m.onTimer":             "the one timer",
	"values.Watch m.hinted":                          "the store's hint, which starts an operation",
	"memory.watch m.hinted":                          "likewise",
	"renewer.run o.begins":                           "puts a context into a channel, for the tracer's links",
	"obtainer.login o.begins":                        "likewise",
	"auth/internal/acting.For m.vault.issuer":        "is the vault's, for the log",
	"obtainer.login m.loginElsewhere":                "publishes an event",
	"auth/internal/tracing.Wait op.context":          "takes it out",
	"auth/internal/finder.Config func":               "tells the tracer of a discovery",
	"auth/internal/finder.Config trace.Client":       "likewise of its requests",
	"auth/internal/lifecycle.Policy rand.Float64":    "chance",
	"auth/internal/lifecycle.Policy withNextAttempt": "makes a text",
	"auth/internal/finder.Config c.Network.Wrap":     "is the program's",
}

func TestComponents(t *testing.T) {
	p := load(t)
	for _, file := range p.find(components.pkg).files {
		if name := p.file(file.Pos()); components.files[name] == "" {
			t.Errorf("auth/%s belongs to no component: add it above, and to docs/architecture.md", name)
		}
	}
	g := components.calls(p)
	for _, from := range slices.Sorted(maps.Keys(g)) {
		t.Logf("%s -> %s", from, strings.Join(slices.Sorted(maps.Keys(g[from])), ", "))
	}
	for _, cycle := range g.cycles() {
		t.Errorf("components call each other in a circle: %s", cycle)
	}
	for _, up := range components.upwards(p) {
		t.Error(up)
	}
	found := components.hooks(p)
	for name, pos := range found {
		if hooks[name] == "" {
			t.Errorf("%s: the shell hands a function to %q, which can call it back", p.where(pos), name)
		}
	}
	for name := range hooks {
		if _, ok := found[name]; !ok {
			t.Errorf("the hook %q is gone: remove it from the list", name)
		}
	}
}
