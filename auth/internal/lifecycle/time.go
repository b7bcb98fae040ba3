package lifecycle

import "time"

const (
	forever = 1<<63 - 1
	// farthest is the latest time, in the year 2189:
	// what is added to it does not overflow. -farthest is the earliest.
	farthest = 3 << 61
)

// nanos is t in Unix nanoseconds; 0 for the zero time only.
func nanos(t time.Time) int64 {
	switch sec := t.Unix(); {
	case t.IsZero():
		return 0
	case sec >= farthest/int64(time.Second):
		return farthest
	case sec <= -farthest/int64(time.Second):
		return -farthest
	}
	if n := t.UnixNano(); n != 0 {
		return n
	}
	return 1
}

// wall is the opposite of nanos. It and some others that are called in many places are
// not inlined: each copy makes every program larger.
//
//go:noinline
func wall(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
