package filestore

import (
	"io"
	"io/fs"
	"os"

	"github.com/mcptokens/mcptokens/internal/atomicfile"
	"github.com/mcptokens/mcptokens/internal/errtext"
)

// maxFile is how large a file may be that is read: a record of a few tokens
// has some kilobytes.
const maxFile = 4 << 20

// readPrivate reads a file that nobody else can read; it follows no link. A
// file that is not there is [fs.ErrNotExist], within an *Error as all else.
func readPrivate(path string) ([]byte, fs.FileInfo, error) {
	f, err := openNoFollow(path)
	if err != nil {
		if at, statErr := os.Lstat(path); statErr == nil && !at.Mode().IsRegular() {
			return nil, nil, irregular(path, at)
		}
		return nil, nil, &Error{Op: "read", Path: path, Err: err}
	}
	defer func() { _ = f.Close() }()
	at, err := f.Stat()
	if err != nil {
		return nil, nil, &Error{Op: "read", Path: path, Err: err}
	}
	if !at.Mode().IsRegular() {
		return nil, nil, irregular(path, at)
	}
	if err := private("read", path, at); err != nil {
		return nil, nil, err
	}
	if at.Size() > maxFile {
		return nil, nil, tooLarge(path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, &Error{Op: "read", Path: path, Err: err}
	}
	if len(data) > maxFile { // it grew meanwhile
		return nil, nil, tooLarge(path)
	}
	return data, at, nil
}

func tooLarge(path string) error {
	return &Error{Op: "read", Path: path, Err: errtext.Errorf(ErrUnsafe, "larger than 4 MiB, which no record is"), Advice: "remove it"}
}

func irregular(path string, at fs.FileInfo) error {
	what := "not a regular file"
	switch {
	case at.IsDir():
		what = "a directory"
	case at.Mode()&fs.ModeSymlink != 0:
		what = "a symbolic link"
	}
	return &Error{Op: "read", Path: path, Err: errtext.Errorf(ErrUnsafe, "%s", what), Advice: "remove it"}
}

// replace writes a file so that it holds either what it did or data, and data
// durably when replace returns nil.
func replace(path string, data []byte) error {
	if err := atomicfile.Replace(path, data); err != nil {
		return &Error{Op: "write", Path: path, Err: err}
	}
	return nil
}

// writeTemp writes data to a new file beside path and flushes it.
func writeTemp(path string, data []byte) (temp string, err error) {
	if temp, err = atomicfile.WriteTemp(path, data); err != nil {
		return "", &Error{Op: "write", Path: path, Err: err}
	}
	return temp, nil
}

// remove removes a file, durably.
func remove(path string) error {
	if err := atomicfile.Remove(path); err != nil {
		return &Error{Op: "remove", Path: path, Err: err}
	}
	return nil
}
