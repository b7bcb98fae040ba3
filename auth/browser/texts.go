package browser

// Texts are the words that a person reads. Empty ones are those of English,
// which are the default; a program that speaks another language sets all.
type Texts struct {
	// Language is that of the page, as a BCP 47 tag. Default: "en".
	Language string

	// The pages in the browser, by how a login ended; see [Outcome].
	SignedIn, Pending, Failed, Used, Opened, Foreign Message

	// Says stands in front of the error that an answer carried, on a page.
	// Default: "The answer says:".
	Says string

	// Reason puts an error into words for the person in front of the page. It
	// must not repeat the error's text without checking what it quotes.
	// Default: a sentence in English.
	Reason func(err error) string

	// Terminal holds the words of the terminal.
	Terminal TerminalTexts
}

// Message is a heading and what to do now.
type Message struct {
	Title, Text string
}

// TerminalTexts are the words of a login on a terminal, see [Loopback.Ask] and
// [Paste].
type TerminalTexts struct {
	Open  string // what to do with the address that follows
	Paste string // what to bring back

	// What is wrong with what was pasted, and what to paste.
	Empty        string // nothing
	NoAnswer     string // no address of an answer and no code
	NotYet       string // the address that was to be opened
	OtherSignIn  string // an answer with another state
	Incomplete   string // an address that was cut off
	MoreThanCode string // a code alone, where the server's iss is needed
}

func (t Texts) withDefaults() Texts {
	or(&t.Language, "en")
	t.SignedIn.or("Signed in", "You can close this window.")
	t.Pending.or("Sign-in received", "The application is still working on it. You can close this window.")
	t.Failed.or("Sign-in failed", "Close this window and try again from the application.")
	t.Used.or("Already used", "This sign-in was answered before. You can close this window.")
	t.Opened.or("Opened before", "This link works once, and it was opened before. Go on in that window. If it was not you who opened it, start again from the application.")
	t.Foreign.or("Unknown sign-in", "This answer does not belong to the current sign-in. Go back to the page that the application opened, or start again.")
	or(&t.Says, "The answer says:")
	if t.Reason == nil {
		t.Reason = plainReason
	}
	or(&t.Terminal.Open, "To sign in, open this address in a browser, on this computer or another:")
	or(&t.Terminal.Paste, "If the browser ends on a page that does not load, or shows you a code, copy\nthe whole address of that page, or the code, and paste it here.")
	or(&t.Terminal.Empty, "Nothing was pasted. Paste the whole address of the page that the browser\nended on.")
	or(&t.Terminal.NoAnswer, "That is not the answer to the sign-in. Paste the whole address of the page\nthat the browser ended on; it has code= and state= in it.")
	or(&t.Terminal.NotYet, "That is the address to open. Sign in there first, then paste the address of\nthe page that the browser ended on.")
	or(&t.Terminal.OtherSignIn, "That belongs to another sign-in. Open the address above, sign in there, and\npaste the address of the page that the browser ended on.")
	or(&t.Terminal.Incomplete, "Part of the address is missing. Copy all of it, to the very end, and paste it\nagain; it has code= and state= in it, and iss= with some servers.")
	or(&t.Terminal.MoreThanCode, "The code alone is not enough for this server. Paste the whole address of the\npage that the browser ended on; it has code=, state= and iss= in it.")
	return t
}

func (m *Message) or(title, text string) {
	or(&m.Title, title)
	or(&m.Text, text)
}

func or(s *string, otherwise string) {
	if *s == "" {
		*s = otherwise
	}
}
