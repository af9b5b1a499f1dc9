package proxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// replayOf is a body of unknown length, read in small pieces.
func replayOf(content string, limit, max int64) *replay {
	b := new(replay)
	b.reset(io.NopCloser(iotest.OneByteReader(strings.NewReader(content))), -1, limit, max)
	return b
}

func TestReplay_SecondAttemptReadsFromTheStart(t *testing.T) {
	t.Parallel()
	b := replayOf("hello, world", 64, 0)
	first := &view{body: b}
	io.ReadFull(first, make([]byte, 5))
	first.Close()
	if !b.whole() {
		t.Fatal("five of 64 bytes are too many")
	}
	second := &view{body: b}
	if got, err := io.ReadAll(second); err != nil || string(got) != "hello, world" {
		t.Errorf("%q %v", got, err)
	}
	if n, err := first.Read(make([]byte, 5)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the closed view reads %d, %v", n, err)
	}
	third := &view{body: b}
	if third.Len() != 12 {
		t.Errorf("%d bytes are in memory", third.Len())
	}
	if got, err := io.ReadAll(third); err != nil || string(got) != "hello, world" {
		t.Errorf("%q %v", got, err)
	}
}

func TestReplay_BeyondItsLimitItIsLost(t *testing.T) {
	t.Parallel()
	b := replayOf("0123456789", 5, 0)
	v := &view{body: b}
	io.ReadFull(v, make([]byte, 5))
	if !b.whole() {
		t.Error("all five bytes are kept")
	}
	if got, err := io.ReadAll(v); string(got) != "56789" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if b.whole() || b.complete() || v.Len() != 0 {
		t.Error("ten bytes are said to be kept in five")
	}
	if b.size() != 10 {
		t.Error(b.size())
	}
}

func TestReplay_CompleteIsAllOfIt(t *testing.T) {
	t.Parallel()
	b := new(replay)
	b.reset(io.NopCloser(strings.NewReader("0123456789")), 10, 64, 0)
	v := &view{body: b}
	io.ReadFull(v, make([]byte, 9))
	if b.complete() {
		t.Error("nine of ten")
	}
	io.ReadFull(v, make([]byte, 1))
	if !b.complete() {
		t.Error("ten of ten")
	}
}

func TestReplay_LargeBodyIsRefusedInItsMidst(t *testing.T) {
	t.Parallel()
	b := replayOf("0123456789", 64, 7)
	_, err := io.ReadAll(&view{body: b})
	if e, ok := errors.AsType[*h1.Error](err); !ok || e.Client != h1.TooLarge || b.size() != 8 {
		t.Errorf("%v after %d", err, b.size())
	}
}

func TestReplay_ClientsErrorIsRemembered(t *testing.T) {
	t.Parallel()
	broken := &h1.Error{Outcome: h1.NoAnswer, Phase: h1.Write, Client: h1.BadBody, Err: io.ErrUnexpectedEOF}
	b := new(replay)
	b.reset(io.NopCloser(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))), -1, 64, 0)
	for range 2 {
		got, err := io.ReadAll(&view{body: b})
		if string(got) != "abc" || err != broken {
			t.Errorf("%q %v", got, err)
		}
	}
}

// slowSource says when it is asked and answers when told to.
type slowSource struct {
	asked chan struct{}
	bytes chan string
}

func (s *slowSource) Read(p []byte) (int, error) {
	s.asked <- struct{}{}
	b, ok := <-s.bytes
	if !ok {
		return 0, io.EOF
	}
	return copy(p, b), nil
}

func (s *slowSource) Close() error { return nil }

// A transport that is slow to let go reads on behalf of the next attempt, and what it may bring is reckoned with.
func TestReplay_LateReaderLosesNothing(t *testing.T) {
	t.Parallel()
	source := &slowSource{asked: make(chan struct{}, 9), bytes: make(chan string, 9)}
	b := new(replay)
	b.reset(source, -1, 10, 0)
	first := &view{body: b}
	done := make(chan struct{})
	go func() { first.Read(make([]byte, 4)); close(done) }()
	<-source.asked
	first.Close()
	if !b.whole() {
		t.Error("four bytes that may come fit in ten")
	}
	source.bytes <- "ab"
	source.bytes <- "cdef"
	close(source.bytes)
	got, err := io.ReadAll(io.LimitReader(&view{body: b}, 6))
	<-done
	if string(got) != "abcdef" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestReplay_WhatMayComeCountsAgainstTheLimit(t *testing.T) {
	t.Parallel()
	source := &slowSource{asked: make(chan struct{}, 9), bytes: make(chan string, 9)}
	b := new(replay)
	b.reset(source, -1, 10, 0)
	v := &view{body: b}
	done := make(chan struct{})
	go func() { v.Read(make([]byte, 11)); close(done) }()
	<-source.asked
	if v.Close(); b.whole() {
		t.Error("eleven bytes may come, and ten can be kept")
	}
	close(source.bytes)
	<-done
}
