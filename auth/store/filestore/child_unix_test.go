//go:build unix

package filestore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mcptokens/mcptokens/auth"
	"github.com/mcptokens/mcptokens/auth/store/filestore"
	"github.com/mcptokens/mcptokens/internal/filelock"
)

// The tests start other processes: the test binary itself, which does what
// this variable says instead of testing.
const childVariable = "FILESTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	what := os.Getenv(childVariable)
	if what == "" {
		os.Exit(m.Run())
	}
	// syscall.Exit writes no coverage data, which some of the children could not.
	if err := children[what](os.Getenv(childVariable + "_DIR")); err != nil {
		fmt.Println("error:", err)
		syscall.Exit(1)
	}
	syscall.Exit(0)
}

// children are what a child process can do with the store of dir.
var children = map[string]func(dir string) error{
	"hold the lock":      holdLock,
	"hold the swap lock": holdSwapLock,
	"save forever":       saveForEver,
	"increment":          increment,
	"read only":          readOnly,
	"disk full":          diskFull,
}

// childIncrements is how often each child of TestProcesses adds one.
const childIncrements = 25

func holdLock(dir string) error {
	s, err := filestore.Open(dir)
	if err != nil {
		return err
	}
	unlock, err := s.Lock(context.Background(), key)
	if err != nil {
		return err
	}
	return untilTold(unlock)
}

func holdSwapLock(dir string) error {
	unlock, err := new(filelock.Locker).Lock(context.Background(), filepath.Join(dir, key.ID()+".cas.lock"))
	if err != nil {
		return err
	}
	return untilTold(unlock)
}

// untilTold says that the lock is held, and lets go when its input ends.
func untilTold(unlock func()) error {
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	unlock()
	fmt.Println("unlocked")
	_, err := fmt.Println("done")
	return err
}

// saveForEver saves as the manager does, and says what it is about to do and
// which generations it has saved.
func saveForEver(dir string) error {
	for {
		s, err := filestore.Open(dir)
		if err != nil {
			return err
		}
		unlock, err := s.Lock(context.Background(), key)
		if err != nil {
			return err
		}
		fmt.Println("locked")
		if err := s.Probe(context.Background(), key); err != nil {
			return err
		}
		r, err := s.Load(context.Background(), key)
		if errors.Is(err, auth.ErrNotFound) {
			r, err = record(0), nil
		}
		if err != nil {
			return err
		}
		fmt.Println("loaded")
		if g, err := s.Save(context.Background(), key, r); err == nil {
			fmt.Println(g)
		} else {
			return err
		}
		unlock()
	}
}

// increment adds to a number by compare-and-swap alone.
func increment(dir string) error {
	s, err := filestore.Open(dir)
	if err != nil {
		return err
	}
	for range childIncrements {
		for {
			r, err := s.Load(context.Background(), key)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(r.Token.AccessToken)
			if err != nil {
				return err
			}
			r.Token.AccessToken = strconv.Itoa(n + 1)
			_, err = s.Save(context.Background(), key, r)
			if err == nil {
				break
			}
			if !errors.Is(err, auth.ErrConflict) {
				return err
			}
		}
	}
	return nil
}

// nobody is a user who owns nothing; no permission holds for root.
const nobody = 65534

func readOnly(dir string) error {
	if os.Getuid() == 0 {
		for _, drop := range []func() error{
			func() error { return syscall.Setgroups(nil) },
			func() error { return syscall.Setgid(nobody) },
			func() error { return syscall.Setuid(nobody) },
		} {
			if err := drop(); err != nil {
				return err
			}
		}
	}
	return report(dir)
}

// diskFull has the system refuse what is written beyond 1 KiB of a file, and
// write what comes before: as on a full disk, without filling one.
func diskFull(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 1 << 10, Max: 1 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	return report(dir)
}

// report prints how a manager would fare.
func report(dir string) error {
	s, err := filestore.Open(dir)
	if err != nil {
		return err
	}
	unlock, err := s.Lock(context.Background(), key)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.Load(context.Background(), key)
	if err != nil {
		return err
	}
	fmt.Println("Load:", r.Token)
	fmt.Println("Probe:", s.Probe(context.Background(), key))
	r.Token.AccessToken += string(make([]byte, 2<<10))
	_, err = s.Save(context.Background(), key, r)
	fmt.Println("Save:", err)
	return nil
}

// child is a process that does one of children.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

func start(t *testing.T, what, dir string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childVariable+"="+what, childVariable+"_DIR="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: cmd, stdin: stdin, lines: bufio.NewScanner(stdout)}
	t.Cleanup(c.kill)
	return c
}

// says returns the child's next line, or false at its end.
func (c *child) says() (string, bool) {
	if c.lines.Scan() {
		return c.lines.Text(), true
	}
	return "", false
}

func (c *child) expect(want string) {
	c.t.Helper()
	if got, _ := c.says(); got != want {
		c.t.Fatalf("the child says %q, want %q", got, want)
	}
}

// end lets the child come to its end and returns what it still says.
func (c *child) end() (said []string) {
	c.t.Helper()
	_ = c.stdin.Close()
	for line, ok := c.says(); ok; line, ok = c.says() {
		said = append(said, line)
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("the child: %v, after %q", err, said)
	}
	return said
}

// kill ends the child at once, wherever it is.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// suspend stops the child and waits until it has stopped.
func (c *child) suspend() {
	c.t.Helper()
	c.signal(syscall.SIGSTOP)
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(c.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || !status.Stopped() {
			c.t.Fatalf("the child did not stop: %v", err)
		}
		return
	}
}

func (c *child) signal(s os.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// moment is a context for waits that are to fail.
func moment(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
