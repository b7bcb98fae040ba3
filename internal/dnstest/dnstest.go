// Package dnstest lets names resolve to what a test wants, in this module's own tests.
//
//	names := dnstest.Serve(t, map[string][]string{"mcp.test": {"8.8.8.8", "127.0.0.1"}})
package dnstest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
)

// Names answers the DNS queries of the process while a test runs: each query for the IPv4
// address of a name gets the next of its addresses, the last one forever. Other names do not
// exist.
type Names struct {
	mu    sync.Mutex
	addrs map[string][]string
}

// Serve replaces net.DefaultResolver until the test ends; such tests cannot run in parallel.
func Serve(t *testing.T, addrs map[string][]string) *Names {
	t.Helper()
	n := &Names{}
	n.Set(addrs)
	before := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = before })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
	return n
}

// Set replaces all names.
func (n *Names) Set(addrs map[string][]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addrs = make(map[string][]string, len(addrs))
	for name, list := range addrs {
		n.addrs[name] = list
	}
}

func (n *Names) next(name string) (addr netip.Addr, known bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.addrs[name]
	if len(list) == 0 {
		return netip.Addr{}, false
	}
	if len(list) > 1 {
		n.addrs[name] = list[1:]
	}
	return netip.MustParseAddr(list[0]), true
}

func (n *Names) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.addrs[name]) > 0
}

// serve answers one query in the form that DNS has over TCP (RFC 1035 section 4.2.2). It ends
// when the resolver closes the connection.
func (n *Names) serve(conn net.Conn) {
	defer conn.Close()
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	query := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return
	}
	answer := n.answer(query)
	_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

const typeA = 1

// answer makes the response to a query with one question (RFC 1035 section 4).
func (n *Names) answer(query []byte) []byte {
	var labels []string
	i := 12 // after the header
	for query[i] != 0 {
		length := int(query[i])
		labels = append(labels, string(query[i+1:i+1+length]))
		i += 1 + length
	}
	question := query[12 : i+5] // name, type, class
	name := strings.ToLower(strings.Join(labels, "."))
	kind := binary.BigEndian.Uint16(query[i+1:])

	flags, answers := uint16(0x8180), uint16(0)
	var record []byte
	if !n.has(name) {
		flags |= 3 // no such name
	} else if kind == typeA {
		addr, _ := n.next(name)
		four := addr.As4()
		answers = 1
		// The name of the question, type A, class IN, for no time at all.
		record = append([]byte{0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4}, four[:]...)
	}
	out := append([]byte(nil), query[:2]...)
	for _, field := range []uint16{flags, 1, answers, 0, 0} {
		out = binary.BigEndian.AppendUint16(out, field)
	}
	return append(append(out, question...), record...)
}
