package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// A section is one table.
type section struct {
	name string
	run  func(rounds int)
}

var sections = []section{
	{"fresh", func(rounds int) {
		for _, s := range []struct {
			title string
			setUp func() ([]variant, func())
		}{{"A fresh token", freshToken}, {"The value of the Authorization header", headerValue}} {
			variants, end := s.setUp()
			title(s.title)
			comparison("one caller", compare(rounds, variants...))
			for i := range variants {
				variants[i].loop = parallel(variants[i].loop)
			}
			comparison(fmt.Sprintf("%d callers at once", runtime.GOMAXPROCS(0)), compare(rounds, variants...))
			end()
		}
	}},
	{"roundtrip", func(rounds int) {
		variants, end := roundTrip()
		defer end()
		title("What a RoundTripper adds to a request")
		comparison("one caller", compare(rounds, variants...))
	}},
	{"herd", func(rounds int) {
		title("A herd on an expired token, the token endpoint takes 20 ms")
		herd(rounds/2+1, 10_000)
	}},
	{"outage", func(int) {
		title("The token endpoint answers 503 after 20 ms")
		outage(100, 3*time.Second)
		storm(100, 10*time.Second, 50*time.Millisecond)
	}},
	{"calltool", func(rounds int) {
		title("A tool call over HTTP")
		variants, end := callTool()
		defer end()
		comparison("one caller", compare(2*rounds, variants...))
	}},
	{"idle", func(int) {
		title("Idle, with a token and a refresh token")
		idle(10_000)
	}},
	{"refresh", func(rounds int) {
		title("A refresh, without the network")
		variants, end := refreshCycle()
		defer end()
		comparison("one caller", compare(rounds, variants...))
	}},
	{"growth", func(rounds int) {
		title("Growth")
		growManagers()
		growGoroutines(rounds/10 + 1)
		growScopes()
		growSubscribers()
	}},
}

func main() {
	only := flag.String("run", "", "sections to run, separated by commas: "+strings.Join(names(), ", "))
	rounds := flag.Int("rounds", 101, "turns of each variant")
	flag.Parse()
	fmt.Printf("%s, %d cores, %s %s/%s\n", cpu(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, s := range sections {
		if *only == "" || strings.Contains(","+*only+",", ","+s.name+",") {
			s.run(*rounds)
		}
	}
}

func names() (names []string) {
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

// cpu is the processor's name, where the system tells.
func cpu() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	_, rest, _ := strings.Cut(string(info), "model name")
	name, _, _ := strings.Cut(strings.TrimLeft(rest, "\t :"), "\n")
	return name
}

// must returns v. What fails in a measurement is a mistake in it.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
