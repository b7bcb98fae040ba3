// Command bench measures this module beside the least that the job can cost
// (the floor), golang.org/x/oauth2 and mcp-go's own OAuth handler, and prints
// the tables of PERFORMANCE.md.
//
//	go run ./internal/bench           // all of it, in about a minute
//	go run ./internal/bench -run herd // one section
//
// What is compared is measured in one run and in turns, a few milliseconds
// each, so that all of it sees the same machine; a ratio is the median of those
// of the single turns, and what stands beside it the 95 % confidence interval
// of that median. Its limits that do not depend on the machine are tests
// (limits_test.go), and the same loops are benchmarks, for profiles and
// benchstat:
//
//	go test -run '^$' -bench CallTool -count 10 ./internal/bench | benchstat -col /way -
package main
