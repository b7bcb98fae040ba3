package flight

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errTest = errors.New("test failure")

// as is an end that changes nothing.
func as(v int, err error) (int, error) { return v, err }

// after is an operation that takes d and returns 7.
func after(d time.Duration) func(Run) (int, error) {
	return func(r Run) (int, error) {
		select {
		case <-time.After(d):
			return 7, nil
		case <-r.Context.Done():
			return 0, context.Cause(r.Context)
		}
	}
}

// since runs f and returns how long that took.
func since(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func TestResult(t *testing.T) {
	for name, tc := range map[string]struct {
		op    func(Run) (int, error)
		value int
		is    error
	}{
		"value":    {after(time.Second), 7, nil},
		"error":    {func(Run) (int, error) { return 3, errTest }, 3, errTest},
		"too long": {after(time.Hour), 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				defer g.Close(0)
				ended := 0
				f := Start(&g, Options{Bound: time.Minute}, tc.op, func(v int, err error) (int, error) {
					ended++
					return v, err
				})
				for range 3 { // for all who wait, and who come late
					if v, err := f.Wait(t.Context()); v != tc.value || !errors.Is(err, tc.is) || ended != 1 {
						t.Errorf("got %d, %v after %d ends", v, err, ended)
					}
				}
				if v, err := f.Result(); v != tc.value || !errors.Is(err, tc.is) || f.Left() {
					t.Errorf("Result = %d, %v", v, err)
				}
			})
		})
	}
}

// What end returns is the result; those who wait get it after end has returned.
func TestEndHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		defer g.Close(0)
		f := Start(&g, Options{Bound: time.Minute}, after(0), func(v int, err error) (int, error) {
			time.Sleep(time.Second)
			return v + 1, errTest
		})
		var v int
		var err error
		if took := since(func() { v, err = f.Wait(t.Context()) }); took != time.Second || v != 8 || err != errTest {
			t.Errorf("got %d, %v after %v", v, err, took)
		}
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		defer g.Close(0)
		f := Start(&g, Options{Bound: time.Minute}, func(Run) (int, error) { panic("out of cheese") }, as)
		_, err := f.Wait(t.Context())
		var p *PanicError
		if !errors.As(err, &p) || p.Value != "out of cheese" || !strings.Contains(string(p.Stack), "flight_test") || err.Error() != "panic: out of cheese" {
			t.Errorf("error %v", err)
		}
		if v, err := Start(&g, Options{Bound: time.Minute}, after(0), as).Wait(t.Context()); v != 7 || err != nil {
			t.Errorf("the next one: %d, %v", v, err)
		}
	})
}

// Who leaves by a context of its own aborts nothing for the others.
func TestWaiterLeaves(t *testing.T) {
	for name, linger := range map[string]time.Duration{"to its end": 0, "lingers": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				defer g.Close(0)
				f := Start(&g, Options{Bound: time.Hour, Linger: linger}, after(time.Minute), as)
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
						if i%2 == 0 {
							ctx, cancel = context.WithTimeout(t.Context(), time.Second)
						}
						defer cancel()
						leave := f.Join()
						defer leave()
						v, err := f.Wait(ctx)
						if i%2 == 0 && err != context.DeadlineExceeded || i%2 != 0 && (err != nil || v != 7) {
							t.Errorf("caller %d got %v, %v", i, v, err)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}

// An operation that lingers ends some time after the last of its callers left.
func TestLinger(t *testing.T) {
	for name, tc := range map[string]struct {
		callers [][2]time.Duration // come and leave, in seconds
		ends    time.Duration      // 0: not abandoned
	}{
		"nobody":         {nil, 30},
		"one":            {[][2]time.Duration{{0, 5}}, 35},
		"again in time":  {[][2]time.Duration{{0, 5}, {34, 39}}, 69},
		"overlap":        {[][2]time.Duration{{0, 20}, {10, 15}}, 50},
		"late":           {[][2]time.Duration{{0, 5}, {36, 40}}, 35},
		"until its end":  {[][2]time.Duration{{0, 200}}, 0},
		"ends unwatched": {[][2]time.Duration{{0, 95}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				defer g.Close(0)
				began := time.Now()
				f := Start(&g, Options{Bound: time.Hour, Linger: 30 * time.Second}, after(100*time.Second), as)
				var wg sync.WaitGroup
				for _, c := range tc.callers {
					wg.Go(func() {
						time.Sleep(c[0] * time.Second)
						leave := f.Join()
						defer leave()
						ctx, cancel := context.WithTimeout(t.Context(), (c[1]-c[0])*time.Second)
						defer cancel()
						_, _ = f.Wait(ctx)
					})
				}
				<-f.Done()
				_, err := f.Result()
				switch took := time.Since(began); {
				case tc.ends == 0 && (err != nil || f.Left() || took != 100*time.Second):
					t.Errorf("ended after %v with %v", took, err)
				case tc.ends != 0 && (!errors.Is(err, ErrAbandoned) || !f.Left() || took != tc.ends*time.Second):
					t.Errorf("ended after %v with %v, want to be abandoned after %d s", took, err, tc.ends)
				}
				wg.Wait()
			})
		})
	}
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		defer g.Close(0)
		f := Start(&g, Options{Bound: time.Hour}, after(time.Minute), as)
		f.Cancel(errTest)
		if _, err := f.Wait(t.Context()); err != errTest || f.Left() {
			t.Errorf("error %v, left %t", err, f.Left())
		}
	})
}

// Close lets what is under way finish within one grace, however much it is, and
// ends at once what waits for a person.
func TestClose(t *testing.T) {
	const grace = 5 * time.Second
	for name, tc := range map[string]struct {
		flights []Options
		takes   []time.Duration
		took    time.Duration
		closed  []bool // ended by Close
	}{
		"nothing":  {nil, nil, 0, nil},
		"in time":  {[]Options{{}}, []time.Duration{2 * time.Second}, 2 * time.Second, []bool{false}},
		"hangs":    {[]Options{{}}, []time.Duration{time.Hour}, grace, []bool{true}},
		"two hang": {[]Options{{}, {}}, []time.Duration{time.Hour, time.Hour}, grace, []bool{true, true}},
		"a person": {[]Options{{Linger: time.Minute}}, []time.Duration{time.Hour}, 0, []bool{true}},
		"both":     {[]Options{{Linger: time.Minute}, {}}, []time.Duration{time.Hour, time.Second}, time.Second, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				var flights []*Flight[int]
				for i, o := range tc.flights {
					o.Bound = 24 * time.Hour
					flights = append(flights, Start(&g, o, after(tc.takes[i]), as))
				}
				if took := since(func() { g.Close(grace) }); took != tc.took || !g.Closed() {
					t.Errorf("Close took %v, want %v", took, tc.took)
				}
				for i, f := range flights {
					select {
					case <-f.Done():
					default:
						t.Fatalf("flight %d is under way after Close", i)
					}
					if _, err := f.Result(); errors.Is(err, ErrClosed) != tc.closed[i] || !tc.closed[i] && err != nil {
						t.Errorf("flight %d ended with %v", i, err)
					}
				}
				if took := since(func() { g.Close(grace) }); took != 0 {
					t.Errorf("the second Close took %v", took)
				}
			})
		})
	}
}

// What has not begun a request yet does not begin one.
func TestCloseEndsStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		f := Start(&g, Options{Bound: time.Hour}, func(r Run) (int, error) {
			starts := r.Starts(r.Context, time.Now().Add(time.Minute))
			defer starts.End()
			<-starts.Done()
			if r.Context.Err() != nil {
				t.Error("the operation itself was ended")
			}
			return 0, context.Cause(starts)
		}, as)
		if took := since(func() { g.Close(time.Minute) }); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if _, err := f.Result(); err != ErrClosed {
			t.Errorf("error %v", err)
		}
	})
}

func TestClosing(t *testing.T) {
	var g Group
	early := g.Closing()
	if isOver(early) || g.Closed() {
		t.Fatal("closed")
	}
	g.Close(0)
	if !isOver(early) || !isOver(g.Closing()) || !g.Closed() {
		t.Error("not closing")
	}
	var other Group
	other.Close(0)
	if !isOver(other.Closing()) {
		t.Error("who asks after Close is not told")
	}
}

func isOver(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Close waits for whoever entered, and lets nobody in after that.
func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		done, ok := g.Enter()
		if !ok {
			t.Fatal("the zero value is closed")
		}
		time.AfterFunc(time.Second, done)
		if took := since(func() { g.Close(0) }); took != time.Second {
			t.Errorf("Close took %v", took)
		}
		if _, ok := g.Enter(); ok {
			t.Error("entered after Close")
		}
	})
}

func TestTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		var fired atomic.Int32
		g.Arm(time.Second, func() { defer g.Done(); time.Sleep(time.Second); fired.Add(1) })
		stopped := g.Arm(time.Hour, func() { t.Error("a timer that was stopped fired") })
		g.Stop(stopped)
		g.Stop(stopped) // once more does no harm
		g.Stop(nil)
		if took := since(func() { g.Close(0) }); took != 2*time.Second || fired.Load() != 1 {
			t.Errorf("Close took %v, fired %d times", took, fired.Load())
		}
	})
}

// Callers, starts and Close at the same time, for the race detector.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				done, ok := g.Enter()
				if !ok {
					return
				}
				f := Start(&g, Options{Bound: time.Minute, Linger: time.Duration(i%3) * time.Second}, after(time.Duration(i)*time.Millisecond), as)
				done()
				for range 3 {
					wg.Go(func() {
						leave := f.Join()
						defer leave()
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
						defer cancel()
						_, _ = f.Wait(ctx)
					})
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		g.Close(10 * time.Millisecond)
		wg.Wait()
		if g.members != nil {
			t.Error("members are left")
		}
	})
}

// line is a queue that lets nobody in by itself.
type line struct{ begin func() }

func (l *line) Join(begin func()) { l.begin = begin }

func (l *line) Leave() {
	if begin := l.begin; begin != nil {
		l.begin = nil
		begin()
	}
}

// An operation that waits has nothing that runs, its time begins when the queue lets
// it, and who ends it before that has it begin with an ended context.
func TestQueued(t *testing.T) {
	for name, tc := range map[string]struct {
		ends func(*Group, *line, *Flight[int])
		is   error
	}{
		"let in":   {func(_ *Group, l *line, _ *Flight[int]) { l.Leave() }, nil},
		"canceled": {func(_ *Group, _ *line, f *Flight[int]) { f.Cancel(errTest) }, errTest},
		"canceled twice": {func(_ *Group, l *line, f *Flight[int]) {
			begin := l.begin
			l.begin = nil
			f.Cancel(errTest)
			f.Cancel(ErrAbandoned)
			begin()
		}, errTest},
		"closed": {func(g *Group, _ *line, _ *Flight[int]) { g.Close(0) }, ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var g Group
				defer g.Close(0)
				l := new(line)
				before := runtime.NumGoroutine()
				f := Start(&g, Options{Bound: time.Minute, Queue: l}, after(50*time.Second), as)
				time.Sleep(time.Hour)
				if n := runtime.NumGoroutine(); n > before || f.Over() {
					t.Errorf("%d goroutines more while it waits, over: %v", n-before, f.Over())
				}
				tc.ends(&g, l, f)
				if _, err := f.Wait(t.Context()); !errors.Is(err, tc.is) {
					t.Errorf("%v, want %v", err, tc.is)
				}
			})
		})
	}
}
