package lifecycle

// Read reports whether the store was read.
func (m *Machine) Read() bool { return m.loaded != 0 }

// Failures is how many renewals in a row failed.
func (m *Machine) Failures() int {
	if m.trouble == nil {
		return 0
	}
	return int(m.trouble.renew.count)
}
