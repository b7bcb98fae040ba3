package mcpgo

import (
	"bytes"
	"io"
	"testing"
)

func TestRecentOutput(t *testing.T) {
	r := newRecentOutput()
	_, _ = r.Write([]byte("old"))
	recent := bytes.Repeat([]byte("0123456789abcdef"), maxRecentOutput/16)
	for _, part := range [][]byte{recent[:1000], recent[1000:]} {
		if n, err := r.Write(part); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	_ = r.Close()
	if n, err := r.Write([]byte("late")); n != 4 || err != nil {
		t.Errorf("after Close: %d, %v; a failure would block the server", n, err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, recent) {
		t.Errorf("read %d bytes, %v, want the last %d written before Close", len(got), err, len(recent))
	}
}
