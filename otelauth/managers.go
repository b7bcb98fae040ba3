package otelauth

import (
	"net/url"
	"sync"
	"time"
	"weak"

	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/mcptokens/mcptokens/auth"
)

// managers are those that are open. One that a program forgot to close is not
// kept alive.
type managers struct {
	mu   sync.Mutex
	open map[weak.Pointer[auth.Manager]]struct{}
}

// TraceManagerOpen implements [auth.ManagerTracer].
func (t *tracer) TraceManagerOpen(m *auth.Manager) {
	t.managers.mu.Lock()
	defer t.managers.mu.Unlock()
	if t.managers.open == nil {
		t.managers.open = make(map[weak.Pointer[auth.Manager]]struct{})
	}
	t.managers.open[weak.Make(m)] = struct{}{}
}

// TraceManagerClose implements [auth.ManagerTracer].
func (t *tracer) TraceManagerClose(m *auth.Manager) {
	t.managers.mu.Lock()
	defer t.managers.mu.Unlock()
	delete(t.managers.open, weak.Make(m))
}

// infos are what the open managers say of themselves.
func (ms *managers) infos() []auth.Info {
	ms.mu.Lock()
	list := make([]*auth.Manager, 0, len(ms.open))
	for p := range ms.open {
		if m := p.Value(); m != nil {
			list = append(list, m)
		} else {
			delete(ms.open, p)
		}
	}
	ms.mu.Unlock()
	infos := make([]auth.Info, len(list))
	for i, m := range list {
		infos[i] = m.Info()
	}
	return infos
}

// observe looks at all managers. They may be thousands, so what is exported is
// one number for each issuer's host.
func (t *tracer) observe(ins *instruments, o metric.Observer) {
	type key struct {
		host  string
		state auth.State
	}
	tokens, unsaved, left := map[key]int64{}, map[string]int64{}, map[string]float64{}
	now := time.Now()
	for _, i := range t.managers.infos() {
		host := t.issuerHost(i.Issuer)
		tokens[key{host, i.State}]++
		if i.State == auth.StateNone || i.State == auth.StateClosed {
			continue
		}
		if i.Unsaved {
			unsaved[host]++
		} else {
			unsaved[host] += 0 // so that an alert sees it end
		}
		idle := i.State == auth.StateExpired && i.LastError == nil
		if i.Expiry.IsZero() || idle || i.State == auth.StateReauthorizationRequired {
			continue
		}
		s := i.Expiry.Sub(now).Seconds()
		if least, ok := left[host]; !ok || s < least {
			left[host] = s
		}
	}
	of := func(host string, more ...attributes) metric.MeasurementOption {
		var a attributes
		if host != "" {
			a.add(semconv.ServerAddress(host))
		}
		for _, m := range more {
			a.add(m...)
		}
		return metric.WithAttributes(t.kept(a)...)
	}
	for k, n := range tokens {
		o.ObserveInt64(ins.tokens, n, of(k.host, attributes{AttrTokenState.String(string(k.state))}))
	}
	for host, n := range unsaved {
		o.ObserveInt64(ins.unsaved, n, of(host))
	}
	for host, s := range left {
		o.ObserveFloat64(ins.timeToExpiry, s, of(host))
	}
}

// issuerHost is the host of an issuer, for metrics; empty if there is none.
func (t *tracer) issuerHost(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return t.hosts.known(u.Hostname())
}
