// Package keyringstore keeps tokens in the operating system's keyring: the
// Keychain of macOS, the Credential Manager of Windows, and elsewhere what
// answers as Secret Service, such as gnome-keyring, KWallet and KeePassXC:
//
//	store, err := keyringstore.Open("my-mcp-client")
//	manager, err := auth.NewManager(auth.Config{Resource: "https://mcp.example/mcp", Store: store})
//
// # What is stored
//
// Each credential is one entry, whose account is [auth.Key.ID] and whose
// password is a small JSON object with the record as [store.Encode]
// writes it, in base64. The Credential Manager takes 2560 bytes, and what the
// Keychain takes has to fit in one command line of 4096; so what exceeds 2400
// bytes, with a JWT or two in it, goes to further entries, ID.a.0, ID.a.1 and so
// on, or ID.b.0 by turns. The first entry is written last and names them, their
// generation and their checksum: a process that dies while writing leaves the
// record that was there before. A record may have 76 kB.
//
// A record that cannot be read, since part of it was deleted or changed by hand,
// is reported once, as [store.ErrCorrupt], and its first entry is moved to
// ID.corrupt; from then on nothing is stored. One of a newer version of this
// library is left alone.
//
// The store is no [auth.Lister]: what a keyring offers all programs cannot be
// enumerated through go-keyring, and on macOS would ask a person for each entry.
//
// # Locks
//
// Keyrings have no locks, so that is done with files, in mcptokens/locks in
// [os.UserConfigDir] or where [WithLockDir] says. The operating system
// releases them when a process dies. Processes that share a keyring must share
// that directory.
//
// # When the keyring does not answer
//
// A keyring that is not there, or locked, is an *[UnavailableError] that says
// what to do. A locked one may ask for its password in a dialog, and nothing
// but an answer ends that: the call of the store returns when its context ends,
// while the call to the keyring goes on, and those after it wait for it. There
// is one such call for each store at most.
package keyringstore
