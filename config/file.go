package config

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxFile bounds what is read of a file that a variable names. Keys and certificates are far smaller.
const maxFile = 1 << 20

// readFile reads a small regular file. A pipe or a device would block the start for ever.
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

// readable reports why path cannot be read, or nil.
func readable(path string) error {
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

// unreadable says in plain words why a file could not be read, without its path, which the message names already.
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
