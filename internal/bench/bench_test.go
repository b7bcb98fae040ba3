package main

import "testing"

// The loops of the sections as benchmarks, for profiles and benchstat.
func benchmark(b *testing.B, setUp func() ([]variant, func())) {
	variants, end := setUp()
	defer end()
	for _, v := range variants {
		b.Run("way="+v.name, func(b *testing.B) {
			b.ReportAllocs()
			v.loop(b.N)
		})
	}
}

func BenchmarkFreshToken(b *testing.B)  { benchmark(b, freshToken) }
func BenchmarkHeaderValue(b *testing.B) { benchmark(b, headerValue) }
func BenchmarkRoundTrip(b *testing.B)   { benchmark(b, roundTrip) }
func BenchmarkRefresh(b *testing.B)     { benchmark(b, refreshCycle) }
func BenchmarkCallTool(b *testing.B)    { benchmark(b, callTool) }
