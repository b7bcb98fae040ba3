//go:build !unix

package main

import (
	"os/exec"
	"time"
)

// killGroup bounds the wait for what cmd has started once its context has ended.
func killGroup(cmd *exec.Cmd) { cmd.WaitDelay = 5 * time.Second }
