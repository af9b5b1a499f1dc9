package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// certificates is the form of the path of a file with certificates. A file
// without any is refused, because nothing could be verified with it.
func certificates() form {
	return form{file().accepted, func(given string) (string, error) {
		content, err := readFile(given)
		if err == nil {
			_, err = parseRoots([]string{content})
		}

		return given, err
	}}
}

// FollowRoots reads a file of certificates that others are checked against, in
// PEM.
func FollowRoots(variable, path string) (*Followed[x509.CertPool], error) {
	return Follow(variable, parseRoots, path)
}

func parseRoots(contents []string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(contents[0])) {
		return nil, errors.New("names a file that holds no certificate in PEM")
	}
	return pool, nil
}

// FollowCertificate reads the files of a certificate chain and of its private
// key, in PEM.
func FollowCertificate(variable, certificate, key string) (*Followed[tls.Certificate], error) {
	return Follow(variable, parsePair, certificate, key)
}

func parsePair(contents []string) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(contents[0]), []byte(contents[1]))
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// FollowText reads a file as it is.
func FollowText(variable, path string) (*Followed[string], error) {
	return Follow(variable, text, path)
}

func text(contents []string) (*string, error) { return &contents[0], nil }

// follow reads the files of a service's settings. Their forms have checked them
// already, so an error here is a change since then.
func (e *environment) follow(s *Service) {
	s.ClientCertificate = e.pair(e.full("LB_CLIENT_CERT_FILE"), e.full("LB_CLIENT_KEY_FILE"))
	s.Roots = followOne(e, "LB_CA_FILE", FollowRoots)
	s.IdentityToken = followOne(e, "LB_IDENTITY_TOKEN_FILE", FollowText)
}

// followOne follows the file of one variable, if it is given in this scope.
func followOne[T any](e *environment, base string,
	read func(variable, path string) (*Followed[T], error)) *Followed[T] {
	v := e.rows[base].named(e.name)
	name := v.Name
	path := e.accepted(name)
	if path == "" {
		return nil
	}

	file, err := read(name, path)
	if err != nil {
		e.problems = append(e.problems, v.problem(path, err))
		return nil
	}

	e.files = append(e.files, file)
	return file
}

// pair requires a certificate and its key, or neither, and follows both.
func (e *environment) pair(certificate, key string) *Followed[tls.Certificate] {
	e.together(certificate, key)
	certFile, keyFile := e.accepted(certificate), e.accepted(key)
	if certFile == "" || keyFile == "" {
		return nil
	}

	file, err := FollowCertificate(certificate, certFile, keyFile)
	if err != nil {
		e.problems = append(e.problems, Problem{
			Variable: certificate,
			Given:    clip(certFile),
			Reason: fmt.Sprintf("and %s name no certificate with its key: %.200s", key,
				err.Error()),
			Accepted: "a certificate and its private key, in PEM",
		})

		return nil
	}

	e.files = append(e.files, file)
	return file
}
