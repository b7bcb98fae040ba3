package browser

import (
	"context"
	"io"
	"os"

	"golang.org/x/term"
)

// terminal is a person at a keyboard.
type terminal struct {
	in  *os.File
	out io.Writer
	qr  func(url string) string // may be nil
}

// standardTerminal is the one that the program runs in; nil if it has none.
func standardTerminal() *terminal {
	if !isTerminal(os.Stdin) || !isTerminal(os.Stderr) {
		return nil
	}
	return &terminal{in: os.Stdin, out: os.Stderr}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// show prints an address and what to do with it.
func (t TerminalTexts) show(w io.Writer, url string) {
	_, _ = io.WriteString(w, t.Open+"\n\n  "+url+"\n\n")
}

// asker returns an Ask on this terminal. showURL: nobody else shows it.
func (t *terminal) asker(texts TerminalTexts, showURL bool) func(context.Context, Question) (string, error) {
	return func(ctx context.Context, q Question) (string, error) {
		switch {
		case q.Problem != "":
			_, _ = io.WriteString(t.out, q.Problem+"\n")
		default:
			if showURL {
				texts.show(t.out, q.URL)
				if t.qr != nil {
					_, _ = io.WriteString(t.out, t.qr(q.URL)+"\n")
				}
			}
			_, _ = io.WriteString(t.out, texts.Paste+"\n")
		}
		_, _ = io.WriteString(t.out, "> ")
		line, err := readLine(ctx, t.in)
		if err != nil {
			_, _ = io.WriteString(t.out, "\n") // what follows begins on a line of its own
		}
		return line, err
	}
}
