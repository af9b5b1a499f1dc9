package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"
)

// bodyText is the form of the body of a fixed answer. It decodes escapes.
func bodyText() form {
	return form{"a text in which %0A is a line break and %25 a '%'",
		func(given string) (string, error) {
			text, err := url.PathUnescape(given)
			switch {
			case err != nil:
				return "", errors.New("has a '%' that is not followed by two digits (a '%' is written %25)")
			case len(text) > maxFile:
				return "", errors.New("is longer than 1 MiB")
			case !utf8.ValidString(text):
				return "", errors.New("is not UTF-8")
			}
			return text, nil
		}}
}

// smallFile is the form of the path of a readable file of at most 1 MiB.
func smallFile() form {
	return form{"the path of a file of at most 1 MiB that can be read",
		func(given string) (string, error) {
			_, err := readFile(given)
			return given, err
		}}
}

// directory is the form of the path of a directory.
func directory() form {
	return form{"the path of a directory", func(given string) (string, error) {
		switch info, err := os.Stat(given); {
		case errors.Is(err, fs.ErrNotExist):
			return "", errors.New("names a directory that does not exist")
		case err == nil && !info.IsDir():
			return "", errors.New("names something that is not a directory")
		}
		root, err := os.OpenRoot(given)
		if err != nil {
			return "", errors.New("names a directory that this user may not read")
		}
		return given, root.Close()
	}}
}

// fileName is the form of a file's name without a directory.
func fileName() form {
	return form{"the name of a file such as 'index.html'", func(given string) (string, error) {
		switch {
		case strings.ContainsAny(given, "/\\\x00"):
			return "", errors.New("is a path")
		case strings.HasPrefix(given, "."):
			return "", errors.New("begins with a dot: such names are never served")
		}
		return given, nil
	}}
}

// fallbackFile is the form of the path of a file below LB_FILES.
func fallbackFile() form {
	return form{"a path below LB_FILES such as '/index.html'", func(given string) (string, error) {
		name, ok := strings.CutPrefix(given, "/")
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			return "", errors.New("is no file below LB_FILES: " +
				"its path begins with '/' and does not end with it")
		}
		for segment := range strings.SplitSeq(name, "/") {
			if segment == "" || segment[0] == '.' || strings.ContainsAny(segment, "\\\x00") {
				return "", errors.New("has a segment that is empty or begins with a dot: " +
					"such names are never served")
			}
		}
		return given, nil
	}}
}

// ErrorFiles are the files for the bodies of Pillion's own errors, by status.
type ErrorFiles map[int]string

// errorFilesForm describes LB_ERROR_FILE.
const errorFilesForm = "a list of statuses and files such as " +
	"'404=/srv/404.html;503=/srv/down.html', statuses from 400 to 599, files of at most 1 MiB"

// EnvDecode reads a list of statuses and paths.
func (f *ErrorFiles) EnvDecode(given string) error {
	*f = ErrorFiles{}
	for _, item := range split(given) {
		code, path, found := strings.Cut(item, "=")
		code, path = strings.TrimSpace(code), strings.TrimSpace(path)
		status, isNumber := digits(code)
		switch {
		case !found || path == "":
			return fmt.Errorf("has the item %q, which is not STATUS=PATH", clip(item))
		case !isNumber || len(code) != 3 || status < 400 || status > 599:
			return fmt.Errorf("has the item %q, whose status is not from 400 to 599", clip(item))
		case (*f)[status] != "":
			return fmt.Errorf("names two files for %d", status)
		}
		(*f)[status] = path
	}
	if len(*f) == 0 && given != "" {
		return errors.New("names no file")
	}
	return nil
}

// errorFiles is the form of a list of statuses and paths. Missing files are
// found later, when they are read.
func errorFiles() form {
	return form{errorFilesForm, func(given string) (string, error) {
		return given, new(ErrorFiles).EnvDecode(given)
	}}
}
