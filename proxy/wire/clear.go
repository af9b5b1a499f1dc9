package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// ErrNoHTTP2 is a backend with TLS that does not take HTTP/2, the only protocol
// that was offered to it.
var ErrNoHTTP2 = errors.New(
	"the backend does not choose HTTP/2 by ALPN: write https:// in its target, or LB_PROTOCOL=http1")

// ExplainHandshake adds to the error of a handshake with a backend what to do
// about it. Other errors stay as they are.
func ExplainHandshake(err error) error {
	// The alert of package tls has no exported type.
	if err != nil && strings.HasSuffix(err.Error(), "tls: no application protocol") {
		return ErrNoHTTP2
	}

	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || record.RecordHeader[0] >= 20 && record.RecordHeader[0] <= 24 &&
		record.RecordHeader[1] == 3 {
		return explainCertificate(err)
	}

	return fmt.Errorf("the backend does not speak TLS: write http:// in its target (%w)", err)
}

// explainCertificate adds a hint to the error for a rejected certificate.
func explainCertificate(err error) error {
	advice := ""
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case ok && invalid.Reason == x509.Expired:
		advice = "renew it, or see whether the clock of this machine is right"
	case isType[x509.UnknownAuthorityError](err):
		advice = "if its issuer is one of yours, name its certificate in LB_CA_FILE"
	case isType[x509.HostnameError](err):
		advice = "if the certificate is right, write the name it is for: ?host=NAME behind the target"
	default:
		return err
	}

	return fmt.Errorf("%w; %s", err, advice)
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
