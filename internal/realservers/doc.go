// Package realservers runs servers that nobody here wrote, and a real browser,
// for this module's tests with the build tag realservers:
//
//	p := realservers.StartOIDCProvider(t, realservers.OIDCConfig{})
//	b := realservers.OpenBrowser(t)
//	manager, err := auth.NewManager(auth.Config{Resource: p.Resource, …})
//
// A test kit agrees with the client that it was written for; a certified server
// does not have to. What is started ends with the test, and its output is
// logged if the test failed. .ci/run installs what is needed, under the heading
// "servers for the tests against real ones"; MCPTOKENS_SERVERS names the folder.
package realservers
