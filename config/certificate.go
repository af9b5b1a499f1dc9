package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
)

// certificates takes the path of a file of certificates. One that holds none would have us trust nobody, or everybody's.
func certificates() form {
	return form{file().accepted, func(given string) (string, error) {
		content, err := readFile(given)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM([]byte(content)) {
			err = errors.New("names a file that holds no certificate in PEM")
		}
		return given, err
	}}
}

// pair wants a certificate and its key, or neither.
func (e *environment) pair(certificate, key string) {
	e.together(certificate, key)
	certFile, keyFile := e.accepted(certificate), e.accepted(key)
	if certFile == "" || keyFile == "" {
		return
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		e.problems = append(e.problems, Problem{
			Variable: certificate,
			Given:    clip(certFile),
			Reason:   fmt.Sprintf("and %s name no certificate with its key: %.200s", key, err.Error()),
			Accepted: "a certificate and its private key, in PEM",
		})
	}
}
