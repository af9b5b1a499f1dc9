package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
)

// Passwords are the users of a route and their passwords (RFC 7617). They
// change when the secret does. Safe for concurrent use.
type Passwords struct {
	secret *config.Secret
	made   atomic.Pointer[passwordList]
}

// passwordList holds the users of one value of the secret.
type passwordList struct {
	text  string
	users []hashedUser
}

// hashedUser is a user with a hash to compare. All hashes have one length, so
// the time of a comparison tells nothing about a password.
type hashedUser struct {
	name string
	sum  [sha256.Size]byte // of name, colon and password
}

// NewPasswords makes the passwords of a secret. It returns nil if there are
// none.
func NewPasswords(secret *config.Secret) *Passwords {
	if secret == nil || secret.Value() == "" {
		return nil
	}

	return &Passwords{secret: secret}
}

// User returns the user whose name and password are in credentials of the
// scheme Basic, or "" if no user has them. All users are compared, so the time
// tells nothing about them.
func (p *Passwords) User(credentials string) string {
	var buffer [config.MostCredentials + 12]byte // a colon, and what the coding rounds up
	if base64.StdEncoding.DecodedLen(len(credentials)) > len(buffer) ||
		strings.ContainsAny(credentials, "\r\n") {
		return ""
	}
	n, err := base64.StdEncoding.Decode(buffer[:], []byte(credentials))
	if err != nil {
		return ""
	}

	sum, found := sha256.Sum256(buffer[:n]), -1
	users := p.users()
	for i := range users {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(sum[:], users[i].sum[:]), i, found)
	}
	if found < 0 {
		return ""
	}

	return users[found].name
}

// users returns the current users.
func (p *Passwords) users() []hashedUser {
	text := p.secret.Value()
	if made := p.made.Load(); made != nil && made.text == text {
		return made.users
	}

	list := &passwordList{text: text}
	given, _ := config.Users(text) // the secret never has an invalid value
	for _, u := range given {
		list.users = append(list.users,
			hashedUser{u.Name, sha256.Sum256([]byte(u.Name + ":" + u.Password))})
	}
	p.made.Store(list)

	return list.users
}
