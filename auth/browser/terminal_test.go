//go:build unix

package browser

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// keyboard is a terminal whose user types into w.
func keyboard(t *testing.T) (tty *terminal, w *os.File, out *strings.Builder) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	out = new(strings.Builder)
	return &terminal{in: r, out: out}, w, out
}

// onProblem closes asked when something is wrong with what was pasted.
type onProblem struct {
	io.Writer
	asked chan struct{}
}

func (w onProblem) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "not the answer") {
		defer close(w.asked)
	}
	return w.Writer.Write(p)
}

func TestReadLine(t *testing.T) {
	tty, w, _ := keyboard(t)
	_, _ = io.WriteString(w, "one line\n")
	if line, err := readLine(t.Context(), tty.in); line != "one line" || err != nil {
		t.Errorf("readLine = %q, %v", line, err)
	}

	// A line is as long as a code of any server.
	long := strings.Repeat("x", 10_000)
	go func() { _, _ = io.WriteString(w, long+"\n") }()
	if line, err := readLine(t.Context(), tty.in); line != long || err != nil {
		t.Errorf("readLine = %d bytes, %v", len(line), err)
	}

	// Whoever stops to wait leaves the next line to the program.
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := readLine(ctx, tty.in); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("readLine: %v", err)
	}
	_, _ = io.WriteString(w, "for the program\n")
	if line, err := readLine(t.Context(), tty.in); line != "for the program" || err != nil {
		t.Errorf("readLine = %q, %v", line, err)
	}

	_, _ = io.WriteString(w, "the end")
	_ = w.Close()
	if line, err := readLine(t.Context(), tty.in); line != "the end" || err != nil {
		t.Errorf("readLine = %q, %v", line, err)
	}
	if _, err := readLine(t.Context(), tty.in); err != io.EOF {
		t.Errorf("readLine: %v, want io.EOF", err)
	}
}

// Over SSH the user reads what to open and what to paste, and nothing for
// developers.
func TestLoopbackOnATerminal(t *testing.T) {
	for name, prompt := range map[string]func(string){"alone": nil, "with a prompt": func(string) {}} {
		t.Run(name, func(t *testing.T) {
			tty, w, out := keyboard(t)
			asked := make(chan struct{})
			tty.out = onProblem{out, asked}
			s, done := visit(t, Loopback{Open: noBrowserHere, Prompt: prompt, terminal: func() *terminal { return tty }}, "st")
			_, _ = io.WriteString(w, "what is that?\n")
			<-asked // a terminal gives a line at a time, a pipe all of them
			_, _ = io.WriteString(w, "the-code\n")
			got := <-done
			s.Finish(got.err)
			if got.err != nil || got.query.Get("code") != "the-code" {
				t.Fatal(got.err)
			}
			text := out.String()
			wantIn(t, text, "paste it here", "> ", "That is not the answer to the sign-in.")
			wantNotIn(t, text, "Loopback", "Prompt", "browser:", "error")
			if shown := strings.Contains(text, "  "+authorizeURL+"\n"); shown != (prompt == nil) {
				t.Errorf("the URL is shown: %v, in\n%s", shown, text)
			}
		})
	}
}

func TestPasteOnATerminalLeavesALineOfItsOwn(t *testing.T) {
	tty, _, out := keyboard(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tty.asker(Texts{}.withDefaults().Terminal, true)(ctx, Question{URL: authorizeURL}); !errors.Is(err, context.Canceled) {
		t.Errorf("ask: %v", err)
	}
	if !strings.HasSuffix(out.String(), "> \n") {
		t.Errorf("%q", out)
	}
}
