package auth

// ManagerTracer is what a tracer in [Config.Tracer] implements besides
// [authtrace.Tracer] to look at managers with [Manager.Info] whenever it likes.
// It must drop m when that is closed, and must not keep it alive before: a program
// may forget to close a manager. A tracer that wraps another in a field of the type
// [authtrace.Tracer] has to pass these two methods on as well.
type ManagerTracer interface {
	// TraceManagerOpen says that m was made and uses the tracer.
	TraceManagerOpen(m *Manager)
	// TraceManagerClose says that m was closed.
	TraceManagerClose(m *Manager)
}
