package lifecycle

import (
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// world is a simulated one: a protected server and an authorization server that
// follow hidden rules, a store, and processes that share it. Time passes from
// event to event; nothing sleeps.
type world struct {
	now    time.Time
	rng    *rand.Rand
	events events
	order  int
	procs  []*proc

	// The protected server.
	lag      time.Duration   // a token is accepted only after this age
	lagSince time.Time       // only for tokens issued since
	flaky    float64         // 401 with this probability
	bad      map[string]bool // operations that are always refused
	trouble  bool            // 401 to everything
	missing  string          // a scope that "admin" needs

	// The authorization server.
	token      Class // how renewals fail; tokenOK: they do not
	retryAfter time.Duration
	lost       bool          // with Ambiguous: the refresh token was spent
	login      loginMode     // how logins end
	life       time.Duration // of tokens; 0: unknown
	refresh    bool          // there are refresh tokens
	rotate     bool          // and each works once
	widen      bool          // and more scopes by it
	issued     []truth       // by ID of the token
	renewals   []bool        // by ID of the refresh token: it works

	// The store.
	record            record
	cannotRead        bool
	cannotWrite       bool
	version           uint64
	requests, windows int // token requests, and windows opened for a person

	wrong []string // invariants that did not hold
}

const tokenOK = Class(255)

type loginMode uint8

const (
	loginOK loginMode = iota
	loginDeclined
	loginDown
	loginClientRefused
)

// truth is what the authorization server knows of a token.
type truth struct {
	issued, expiry time.Time // zero expiry: never
	revoked        bool
	scopes         []string
}

// record is what is stored. newer orders records by what they replaced.
type record struct {
	Token
	newer  uint64
	stored time.Time
}

func newWorld(seed uint64, policies ...Policy) *world {
	w := &world{
		now: start, rng: rand.New(rand.NewPCG(seed, 1)), bad: map[string]bool{}, token: tokenOK,
		life: time.Hour, refresh: true, rotate: true, issued: make([]truth, 1), renewals: make([]bool, 1),
	}
	for i := range policies {
		w.procs = append(w.procs, newProc(w, i, policies[i]))
	}
	return w
}

func (w *world) violated(format string, args ...any) {
	if len(w.wrong) < 5 {
		w.wrong = append(w.wrong, fmt.Sprintf("+%v: ", w.now.Sub(start))+fmt.Sprintf(format, args...))
	}
}

// event is something that happens later.
type event struct {
	at    time.Time
	order int
	do    func()
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { old := *e; x := old[len(old)-1]; *e = old[:len(old)-1]; return x }
func (e events) Less(i, j int) bool {
	return cmp.Or(e[i].at.Compare(e[j].at), e[i].order-e[j].order) < 0
}

func (w *world) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

// latency is how long an exchange takes.
func (w *world) latency() time.Duration { return time.Duration(5+w.rng.IntN(60)) * time.Millisecond }

// pass lets d pass, with all that happens in it.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for len(w.wrong) == 0 {
		at, do := end, func() {}
		if len(w.events) > 0 && !w.events[0].at.After(end) {
			at, do = w.events[0].at, func() { heap.Pop(&w.events).(event).do() }
		}
		for _, p := range w.procs {
			if wake := p.m.Wake(p.wall()); !wake.IsZero() {
				if wake = wake.Add(-p.offset); !wake.After(at) {
					at, do = wake, p.fire
				}
			}
		}
		if at.After(w.now) {
			w.now = at
		}
		do()
		if at == end && (len(w.events) == 0 || w.events[0].at.After(end)) && !slices.ContainsFunc(w.procs, (*proc).timed) {
			return
		}
	}
}

// timed reports whether the timer is due.
func (p *proc) timed() bool {
	wake := p.m.Wake(p.wall())
	return !wake.IsZero() && !wake.After(p.wall())
}

// accepts is the protected server's answer: 200, 401 or 403.
func (w *world) accepts(id uint32, operation string) int {
	if id == 0 || w.trouble || w.bad[operation] || w.rng.Float64() < w.flaky {
		return 401
	}
	switch t := &w.issued[id]; {
	case t.revoked, !t.expiry.IsZero() && !w.now.Before(t.expiry):
		return 401
	case w.now.Sub(t.issued) < w.lag && !t.issued.Before(w.lagSince):
		return 401
	case operation == "admin" && w.missing != "" && !slices.Contains(t.scopes, w.missing):
		return 403
	}
	return 200
}

// issue makes a token for p.
func (w *world) issue(p *proc, scopes []string) Token {
	at := p.wall()
	t := Token{ID: uint32(len(w.issued)), Access: true, Obtained: at, Issuer: "as", Scopes: &scopes}
	made := truth{issued: w.now, scopes: scopes}
	if w.life > 0 {
		t.Expiry, made.expiry = at.Add(w.life), w.now.Add(w.life)
	}
	w.issued = append(w.issued, made)
	if w.refresh {
		t.Renewal = uint32(len(w.renewals))
		w.renewals = append(w.renewals, true)
	}
	return t
}

// revoke makes the authorization server forget everything.
func (w *world) revoke() {
	for i := range w.issued {
		w.issued[i].revoked = true
	}
	for i := range w.renewals {
		w.renewals[i] = false
	}
}

// heal ends all trouble.
func (w *world) heal() {
	w.lag, w.flaky, w.trouble, w.missing, w.token, w.login = 0, 0, false, "", tokenOK, loginOK
	w.life, w.cannotRead, w.cannotWrite = time.Hour, false, false
	clear(w.bad)
	for _, p := range w.procs {
		p.jump(0)
	}
}

// proc is a process: the shell around a machine, in as few lines as possible.
type proc struct {
	w       *world
	id      int
	policy  Policy
	m       Machine
	offset  time.Duration // of its clock
	memory  record        // what the machine has
	unsaved bool
	waiting map[Op][]*caller
	runs    int // how often it was started
	checks
}

func newProc(w *world, id int, p Policy) *proc {
	p.Jitter = w.rng.Float64
	proc := &proc{w: w, id: id, policy: p}
	proc.restart()
	return proc
}

// restart begins with nothing but the store.
func (p *proc) restart() {
	p.m = New(&p.policy, !p.policy.Shared)
	p.memory, p.unsaved, p.waiting = record{}, false, map[Op][]*caller{}
	p.checks = checks{}
	p.runs++
}

func (p *proc) wall() time.Time { return p.w.now.Add(p.offset) }

// jump sets the clock.
func (p *proc) jump(offset time.Duration) {
	if offset != p.offset {
		p.offset = offset
		p.jumped()
	}
}

// fire is the timer.
func (p *proc) fire() {
	ops := p.m.Due(p.wall())
	if ops == None {
		p.w.violated("process %d: the timer fires for nothing", p.id)
	}
	for _, op := range []Op{Save, Renew} {
		if ops&op != 0 {
			p.checkStart(op, nil)
			p.start(op, nil)
		}
	}
}

// start runs op, whose end is in the future.
func (p *proc) start(op Op, c *caller) {
	if p.m.Running(op) {
		return
	}
	p.m.Started(op)
	var scopes []string
	if c != nil {
		scopes = c.need.Scopes
	}
	run := p.runs
	p.w.after(p.w.latency(), func() {
		if p.runs != run {
			return // another process by now
		}
		f, put := p.do(op, scopes)
		// The result takes a moment to arrive, so two may overtake each other.
		p.w.after(time.Duration(p.w.rng.IntN(30))*time.Millisecond, func() {
			if p.runs != run {
				return
			}
			put()
			p.m.Ended(op)
			waiting := p.waiting[op]
			p.waiting[op] = nil
			for _, c := range waiting {
				if c.waits == op {
					c.waits = None
					c.need.After(op, f)
					if op == Login && f.Err == nil {
						c.need.Final = true
					}
					p.ask(c)
				}
			}
			p.checkState()
		})
	})
}

// put brings what is in the store into use, or keeps what is newer.
func (p *proc) put(r record, version uint64) {
	if p.unsaved && r.newer < p.memory.newer {
		return
	}
	if p.m.Put(p.wall(), r.Token, version) {
		if r.newer < p.memory.newer {
			p.w.violated("process %d: an older result replaces %+v", p.id, p.memory)
		}
		p.brought(r.Token)
		if p.unsaved && r.newer != p.memory.newer {
			p.unsaved = false
			p.m.Saved()
		}
		p.memory = r
	}
}

// keep stores t, and returns how it comes into use.
func (p *proc) keep(t Token) func() {
	w := p.w
	w.version++
	version := w.version
	newer := max(w.record.newer, p.memory.newer) + 1
	r := record{Token: t, newer: newer, stored: w.now}
	if p.policy.Shared && w.cannotWrite {
		return func() {
			// A look at the store meanwhile did not see it.
			w.version++
			p.put(r, w.version)
			p.unsaved = true
			p.m.SaveFailed(p.wall(), errTest)
		}
	}
	r.Token.Login = false
	w.record = r
	r.Token.Login = t.Login
	for _, other := range w.procs {
		if other != p && other.policy.Hints {
			other.start(Load, nil)
		}
	}
	return func() { p.put(r, version) }
}

// read looks at the store; adopted: there is something newer.
func (p *proc) read() (put func(), adopted bool) {
	w := p.w
	w.version++
	r, version := w.record, w.version
	return func() { p.put(r, version); p.m.Loaded(p.wall()) }, r.newer > p.memory.newer
}

// do is the operation itself. put is what happens when its result arrives.
func (p *proc) do(op Op, scopes []string) (f Failure, put func()) {
	w := p.w
	broken := p.policy.Shared && w.cannotRead
	switch op {
	case Load:
		if broken {
			return Failure{Class: Ours, Err: errStore}, func() { p.m.LoadFailed(p.wall(), errStore); p.loadFailed = p.wall() }
		}
		put, _ = p.read()
		return Failure{}, put
	case Save:
		if w.cannotWrite {
			return Failure{}, func() { p.m.SaveFailed(p.wall(), errTest) }
		}
		mine := p.memory
		if p.unsaved && mine.newer > w.record.newer {
			mine.stored = w.now
			mine.Token.Login = false
			w.record = mine
		}
		w.version++
		version := w.version
		return Failure{}, func() {
			if p.memory.newer == mine.newer { // or else there is another to save
				p.put(mine, version) // what was read before it was stored is older
				p.unsaved = false
				p.m.Saved()
			}
		}
	}
	if p.policy.Shared && !broken && !p.unsaved {
		if put, adopted := p.read(); adopted {
			return Failure{}, put
		}
	}
	if op == Login && p.policy.Grant == Person {
		return p.logIn(scopes)
	}
	return p.renew(op, scopes)
}

var errStore = errors.New("test store failure")

// renew gets a token without a person.
func (p *proc) renew(op Op, scopes []string) (Failure, func()) {
	w := p.w
	sent := p.memory.Renewal
	failed := func(c Class, retry time.Duration) (Failure, func()) {
		f := Failure{Class: c, Err: errTest, RetryAfter: retry, Renewal: sent}
		return f, func() {
			if op == Login {
				p.m.LoginFailed(p.wall(), f)
				p.loginFailed(f)
			} else {
				p.m.RenewFailed(p.wall(), f)
				p.renewFailed(f)
			}
		}
	}
	w.requests++
	switch {
	case w.token == Ambiguous && w.lost && sent != 0:
		w.renewals[sent] = w.renewals[sent] && !w.rotate
		fallthrough
	case w.token != tokenOK:
		return failed(w.token, w.retryAfter)
	}
	switch byGrant := p.policy.Grant == Alone; {
	case sent != 0 && w.renewals[sent]:
		if w.rotate {
			w.renewals[sent] = false
		}
	case !byGrant:
		return failed(RefusedToken, 0)
	}
	var granted []string
	if p.memory.Scopes != nil {
		granted = *p.memory.Scopes
	}
	narrow := false
	for _, s := range scopes {
		if !slices.Contains(granted, s) {
			if narrow = !w.widen; !narrow {
				granted = append(slices.Clone(granted), s)
			}
		}
	}
	t := w.issue(p, granted)
	if t.Renewal != 0 && !w.rotate && sent != 0 {
		t.Renewal = sent
	}
	put := p.keep(t)
	return Failure{}, func() {
		put()
		if narrow {
			p.m.Narrow("as")
		}
	}
}

// logIn asks a person.
func (p *proc) logIn(scopes []string) (Failure, func()) {
	w := p.w
	var f Failure
	w.windows++
	switch w.login {
	case loginOK:
		t := w.issue(p, append([]string{"a"}, scopes...))
		t.Login = true
		return Failure{}, p.keep(t)
	case loginDeclined:
		f = Failure{Err: errTest, Asked: true}
	case loginDown:
		f = Failure{Class: Transient, Err: errTest}
	case loginClientRefused:
		f = Failure{Class: RefusedClient, Err: errTest}
	}
	return f, func() { p.m.LoginFailed(p.wall(), f); p.loginFailed(f) }
}

// caller is one request with its retries.
type caller struct {
	p          *proc
	operation  string
	need       Need
	waits      Op
	rounds     int
	sends      int
	seenToken  uint32 // was refused first when there had been
	seenTrying int    // so many acceptances
	upgraded   bool
	done       bool
	ok         bool
	end        Decision
}

// call begins a request.
func (p *proc) call(operation string) *caller {
	c := &caller{p: p, operation: operation}
	c.need = c.fresh(Fresh)
	p.ask(c)
	return c
}

// want begins what the program asks for itself.
func (p *proc) want(kind Kind, scopes ...string) *caller {
	c := &caller{p: p, operation: "program"}
	c.need = c.fresh(kind)
	c.need.Scopes, c.need.Token = scopes, p.memory.ID
	if kind != Upgrade {
		c.need.Token = 0
	}
	p.ask(c)
	return c
}

func (c *caller) fresh(kind Kind) Need {
	return Need{Kind: kind, Operation: c.operation, NoLogin: c.operation == "delete", Stream: c.operation == "stream"}
}

func (c *caller) finish(ok bool, d Decision) { c.done, c.ok, c.end = true, ok, d }

// ask is the loop around Next.
func (p *proc) ask(c *caller) {
	for {
		c.rounds++
		if c.rounds > 8 {
			p.w.violated("process %d: no end for %+v", p.id, c.need)
			return
		}
		n := c.need
		before := p.m
		d := p.m.Next(p.wall(), &c.need)
		p.check(c, &n, &before, d)
		if len(p.w.wrong) > 0 {
			return
		}
		switch d.Action {
		case Fail:
			if c.need.Kind == Fresh && d.Reason == NoToken {
				c.send(0)
			} else {
				c.finish(false, d)
			}
			return
		case Use, UseAndRenew:
			if d.Action == UseAndRenew {
				p.start(Renew, nil)
			}
			if n.insists() {
				c.finish(true, d)
				return
			}
			c.send(p.memory.ID)
			return
		case Resend:
			id, run := c.need.Token, p.runs
			p.w.after(d.Delay, func() {
				if p.runs == run {
					c.send(id)
				}
			})
			return
		case Wait, Glance:
			c.waits = d.Op
			p.start(d.Op, c)
			p.waiting[d.Op] = append(p.waiting[d.Op], c)
			if d.Action == Glance {
				p.w.after(20*time.Millisecond, func() {
					if c.waits == d.Op && !c.done {
						c.waits = None
						c.need.Done |= d.Op
						p.ask(c)
					}
				})
			}
			return
		}
	}
}

// send sends the request, and goes on with its answer.
func (c *caller) send(id uint32) {
	p, w := c.p, c.p.w
	if c.sends++; c.sends > 40 {
		w.violated("process %d: %s is sent forever", p.id, c.operation)
		return
	}
	run := p.runs
	w.after(w.latency(), func() {
		if p.m.Closed() || p.runs != run {
			c.finish(false, Decision{Reason: Closed})
			return
		}
		status := w.accepts(id, c.operation)
		p.answered(id, status)
		if status != 401 && !p.m.Known() {
			p.m.Accepted(id)
		}
		if status == 200 {
			c.finish(true, Decision{})
			return
		}
		old := c.need
		c.rounds = 0
		c.need = old.Again(id)
		if status == 403 {
			if c.upgraded { // StepUps has its own tests
				c.finish(false, Decision{})
				return
			}
			c.upgraded = true
			c.need = c.fresh(Scopes)
			c.need.Token, c.need.Scopes = id, []string{w.missing}
		}
		p.ask(c)
	})
}
