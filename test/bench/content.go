//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/klauspost/compress/zstd"
)

// bodyPattern is repeated in bodies that are not compressed.
const bodyPattern = "The quick brown fox jumps over the lazy dog. "

// body returns n bytes of the pattern.
func body(n int) []byte {
	return bytes.Repeat([]byte(bodyPattern), n/len(bodyPattern)+1)[:n:n]
}

// listing returns the first n bytes of a list of products, as the API of a shop
// gives it. It is always the same.
func listing(n int) []byte {
	words := []string{
		"alder", "bright", "canvas", "deep", "early", "folding", "green", "hand", "iron", "jacket", "kettle", "linen",
		"made", "narrow", "oak", "plain", "quilted", "rain", "small", "table", "upright", "vase", "wool", "yellow",
	}
	random := rand.New(rand.NewPCG(1, 2))
	word := func() string { return words[random.IntN(len(words))] }

	b := []byte(`{"page":1,"items":[`)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":"%016x","name":"%s %s %s","price":{"amount":%d.%02d,"currency":"EUR"},"stock":%d,`+
			`"rating":%.2f,"tags":["%s","%s"],"updatedAt":"2026-%02d-%02dT%02d:%02d:%02dZ","image":"/images/%08x.webp"},`,
			random.Uint64(), word(), word(), word(), random.IntN(400), random.IntN(100), random.IntN(2000),
			random.Float64()*5, word(), word(), 1+random.IntN(12), 1+random.IntN(28), random.IntN(24), random.IntN(60),
			random.IntN(60), random.Uint32())
	}

	return b[:n:n]
}

// content says which body an answer has.
type content struct {
	size int
	list bool // a listing
}

func (c content) bytes() []byte {
	if c.list {
		return listing(c.size)
	}
	return body(c.size)
}

// decoded undoes a content coding.
func decoded(coding string, b []byte) ([]byte, error) {
	switch coding {
	case "":
		return b, nil
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}

	return nil, fmt.Errorf("an unknown coding %q", coding)
}
