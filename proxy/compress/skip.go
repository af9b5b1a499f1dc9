package compress

// skip is why an answer is not compressed.
type skip uint8

const (
	compressed  skip = iota
	byStatus         // it has no content, or only a part
	byCoding         // it has a Content-Encoding
	byTransform      // it or the request has no-transform
	byBuffering      // it has X-Accel-Buffering: no
	byDigest         // a field has a digest of its content
	byType           // its media type is not listed
	byLength         // it is short
	byRange          // the client wants a range
	byVersion        // the client speaks HTTP/1.0
	byClient         // the client accepts none of the codings, or prefers Identity
	byOrigin         // another site's page asks for it with a user's credentials
	byMemory         // no encoder is free
	skips
)

// String returns the reason as metrics name it. It is "" if there was no
// content to compress.
func (s skip) String() string {
	return [...]string{
		"", "", "encoded", "no_transform", "unbuffered", "digest", "type", "short", "range", "version",
		"accept_encoding", "cross_site", "encoders", "",
	}[s]
}
