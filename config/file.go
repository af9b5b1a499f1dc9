package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile is the largest size of a file that a variable names. Keys and
// certificates are far smaller.
const maxFile = 1 << 20

// ReadFile reads a small regular file. The text of the error continues a
// sentence about the variable that names the file.
func ReadFile(path string) (string, error) { return readFile(path) }

// readFile reads a small regular file. It refuses pipes and devices, which
// could block the start.
func readFile(path string) (string, error) {
	if err := readable(path); err != nil {
		return "", err
	}

	f, err := os.Open(path)
	if err != nil {
		return "", unreadable(err)
	}

	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", unreadable(err)
	}

	if len(content) > maxFile {
		return "", errors.New("names a file of more than 1 MiB")
	}

	return string(content), nil
}

// readable returns why path can't be read, or nil.
func readable(path string) error {
	if strings.HasPrefix(path, pemHead) {
		return errors.New("is the content of a file: give its path")
	}

	info, err := os.Stat(path)
	if err != nil {
		return unreadable(err)
	}

	if !info.Mode().IsRegular() {
		return errors.New("names something that is not a file")
	}

	f, err := os.Open(path)
	if err != nil {
		return unreadable(err)
	}

	return f.Close()
}

// unreadable returns in plain words why a file could not be read. It leaves out
// the path, because the message has it already.
func unreadable(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("names a file that does not exist")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("names a file that this user may not read")
	default:
		return errors.New("names a file that cannot be read")
	}
}

// absolutePath is the form of a path from the root. It need not exist yet.
func absolutePath() form {
	return form{"a path that begins with '/'", func(given string) (string, error) {
		if !filepath.IsAbs(given) {
			return "", errors.New("does not begin with '/'")
		}
		return given, nil
	}}
}
