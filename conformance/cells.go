package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The versions of the MCP specification that the suite can be run at.
const (
	v20250326 = "2025-03-26"
	v20250618 = "2025-06-18"
	v20251125 = "2025-11-25"
	v20260728 = "2026-07-28"

	// extension stands where a version would for scenarios of protocol extensions: they are not
	// on the specification's timeline, and the suite takes no version for them.
	extension = "extension"
)

// cell is one scenario at one version of the specification.
type cell struct {
	scenario string // such as auth/scope-step-up
	version  string // such as 2026-07-28, or extension
}

func (c cell) String() string { return c.scenario + "@" + c.version }

// planned is a cell to run, or one to fail because the suite does not have it any more.
type planned struct {
	cell
	missing bool
}

// expectedCells returns the 50 cells that the pinned suite is known to have, in the suite's order.
// They are written down so that a cell that the suite drops or renames cannot vanish unnoticed.
func expectedCells() []cell {
	var cells []cell
	add := func(versions []string, scenarios ...string) {
		for _, s := range scenarios {
			for _, v := range versions {
				cells = append(cells, cell{"auth/" + s, v})
			}
		}
	}
	current := []string{v20251125, v20260728}
	add(current, "metadata-default", "metadata-var1", "metadata-var2", "metadata-var3", "basic-cimd",
		"scope-from-www-authenticate", "scope-from-scopes-supported", "scope-omitted-when-undefined",
		"scope-step-up", "scope-retry-limit")
	add([]string{v20250618, v20251125, v20260728},
		"token-endpoint-auth-basic", "token-endpoint-auth-post", "token-endpoint-auth-none")
	add(current, "pre-registration")
	add([]string{v20250326}, "2025-03-26-oauth-metadata-backcompat", "2025-03-26-oauth-endpoint-fallback")
	add([]string{v20260728}, "resource-mismatch", "offline-access-scope", "offline-access-not-supported",
		"authorization-server-migration", "iss-supported", "iss-not-advertised", "iss-supported-missing",
		"iss-wrong-issuer", "iss-unexpected", "iss-normalized", "metadata-issuer-mismatch")
	add([]string{extension}, "client-credentials-jwt", "client-credentials-basic",
		"enterprise-managed-authorization", "dpop", "dpop-nonce", "wif-jwt-bearer")
	return cells
}

// listingLine is one scenario in the suite's listing, such as
// "  - auth/basic-cimd [2025-11-25,2026-07-28]".
var listingLine = regexp.MustCompile(`^\s*-\s+(\S+)\s+\[([^\]]+)\]\s*$`)

// parseListing returns the authorization cells in the output of the suite's list command. A line
// about an authorization scenario that it cannot read is an error: to pass over it would be to
// lose a cell.
func parseListing(out string) ([]cell, error) {
	known := []string{v20250326, v20250618, v20251125, v20260728, extension}
	var cells []cell
	for line := range strings.Lines(out) {
		name, isItem := strings.CutPrefix(strings.TrimSpace(line), "- ")
		if !isItem || !strings.HasPrefix(name, "auth/") {
			continue
		}
		m := listingLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if m == nil {
			return nil, fmt.Errorf("the suite's listing has a line of unknown form: %q", strings.TrimSpace(line))
		}
		for v := range strings.SplitSeq(m[2], ",") {
			if v = strings.TrimSpace(v); !slices.Contains(known, v) {
				return nil, fmt.Errorf("the suite's listing has %s at an unknown version: %q", m[1], v)
			}
			c := cell{m[1], v}
			if slices.Contains(cells, c) {
				return nil, fmt.Errorf("the suite's listing has %s twice", c)
			}
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return nil, fmt.Errorf("the suite's listing has no auth/ scenario")
	}
	return cells, nil
}

// account sets what the suite lists against what it is known to have. The expected cells come
// first, those that are not listed marked missing; then what the suite has in addition.
func account(expected, listed []cell) []planned {
	var plan []planned
	for _, c := range expected {
		plan = append(plan, planned{cell: c, missing: !slices.Contains(listed, c)})
	}
	for _, c := range listed {
		if !slices.Contains(expected, c) {
			plan = append(plan, planned{cell: c})
		}
	}
	return plan
}

// filter returns the cells whose name, such as auth/scope-step-up@2026-07-28, re matches.
func filter(plan []planned, re *regexp.Regexp) []planned {
	return slices.DeleteFunc(slices.Clone(plan), func(p planned) bool { return !re.MatchString(p.String()) })
}
