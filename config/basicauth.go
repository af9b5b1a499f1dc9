package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// User is one item of LB_BASIC_AUTH.
type User struct{ Name, Password string }

const (
	leastPassword = 8
	// MostCredentials is the length of the longest user and password together,
	// in bytes. No longer ones of a client are read.
	MostCredentials = 500
)

// Users reads LB_BASIC_AUTH. Its errors never show a value.
func Users(given string) (users []User, err error) {
	for i, item := range split(given) {
		name, password, found := strings.Cut(item, ":")
		name, err1 := url.PathUnescape(name)
		hashed, unset := hashLike(password), unreplaced(password)
		password, err2 := url.PathUnescape(password)
		fault := ""
		switch {
		case !found:
			fault = "is not user:password"
		case err1 != nil || err2 != nil:
			fault = "has a '%' that is not followed by two digits (a '%' is written %25)"
		case name == "" || strings.Contains(name, ":") || !headerText(name) || !headerText(password):
			fault = "has no name, or a ':' or a control character"
		case unset:
			fault = "has a password that is a variable or a command, which nothing has replaced"
		case hashed:
			fault = "looks like a hash: give the password itself, as a secret"
		case len(password) < leastPassword:
			fault = "has a password of less than 8 characters"
		case len(name)+len(password) > MostCredentials:
			fault = fmt.Sprintf("has more than %d bytes", MostCredentials)
		case slices.ContainsFunc(users, func(u User) bool { return u.Name == name }):
			fault = "names a user for the second time"
		}
		if fault != "" {
			return nil, fmt.Errorf("has an item, number %d, that %s", i+1, fault)
		}
		users = append(users, User{name, password})
	}
	if len(users) == 0 {
		return nil, errors.New("names no user")
	}

	return users, nil
}

// hashLike reports whether a password looks like a hash of htpasswd.
func hashLike(password string) bool {
	for _, beginning := range []string{
		"$2a$", "$2b$", "$2x$", "$2y$", "$apr1$", "$1$", "$5$", "$6$", "$argon2", "{SHA}", "{SSHA}",
	} {
		if strings.HasPrefix(password, beginning) {
			return true
		}
	}

	return false
}

func headerText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// users takes users and passwords.
func users() form {
	return form{"a list of user:password, separated by ';', passwords of at least 8 characters",
		func(given string) (string, error) {
			_, err := Users(given)
			return given, err
		}}
}
