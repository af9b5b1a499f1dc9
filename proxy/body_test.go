package proxy

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// replayOf is a body of unknown length, read in small pieces.
func replayOf(content string, limit, max int64) *replayBody {
	b := new(replayBody)
	b.reset(io.NopCloser(iotest.OneByteReader(strings.NewReader(content))), -1, limit, max)
	return b
}

func TestReplay_SecondAttemptReadsFromTheStart(t *testing.T) {
	t.Parallel()
	b := replayOf("hello, world", 64, 0)
	first := b.attempt()
	io.ReadFull(first, make([]byte, 5))
	first.Close()
	if !b.replayable() {
		t.Fatal("five of 64 bytes are too many")
	}

	second := b.attempt()
	if got, err := io.ReadAll(second); err != nil || string(got) != "hello, world" {
		t.Errorf("%q %v", got, err)
	}
	if n, err := first.Read(make([]byte, 5)); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the closed view reads %d, %v", n, err)
	}

	third := b.attempt()
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
	v := b.attempt()
	io.ReadFull(v, make([]byte, 5))
	if !b.replayable() {
		t.Error("all five bytes are kept")
	}

	if got, err := io.ReadAll(v); string(got) != "56789" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if b.replayable() || b.complete() || v.Len() != 0 {
		t.Error("ten bytes are said to be kept in five")
	}

	if b.size() != 10 {
		t.Error(b.size())
	}
}

func TestReplay_CompleteIsAllOfIt(t *testing.T) {
	t.Parallel()
	b := new(replayBody)
	b.reset(io.NopCloser(strings.NewReader("0123456789")), 10, 64, 0)
	v := b.attempt()
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
	_, err := io.ReadAll(b.attempt())
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Client != wire.TooLarge || b.size() != 8 {
		t.Errorf("%v after %d", err, b.size())
	}
}

func TestReplay_ClientsErrorIsRemembered(t *testing.T) {
	t.Parallel()
	broken := &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Write, Client: wire.BadBody, Err: io.ErrUnexpectedEOF}
	b := new(replayBody)
	b.reset(io.NopCloser(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken))), -1, 64, 0)

	for range 2 {
		got, err := io.ReadAll(b.attempt())
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

// A transport that is slow to let go reads on behalf of the next attempt, and
// what it may bring is reckoned with.
func TestReplay_LateReaderLosesNothing(t *testing.T) {
	t.Parallel()
	source := &slowSource{asked: make(chan struct{}, 9), bytes: make(chan string, 9)}
	b := new(replayBody)
	b.reset(source, -1, 10, 0)
	first := b.attempt()
	done := make(chan struct{})
	go func() { first.Read(make([]byte, 4)); close(done) }()
	<-source.asked
	first.Close()
	if !b.replayable() {
		t.Error("four bytes that may come fit in ten")
	}

	source.bytes <- "ab"
	source.bytes <- "cdef"
	close(source.bytes)
	got, err := io.ReadAll(io.LimitReader(b.attempt(), 6))
	<-done
	if string(got) != "abcdef" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestReplay_WhatMayComeCountsAgainstTheLimit(t *testing.T) {
	t.Parallel()
	source := &slowSource{asked: make(chan struct{}, 9), bytes: make(chan string, 9)}
	b := new(replayBody)
	b.reset(source, -1, 10, 0)
	v := b.attempt()
	source.bytes <- "0123456789"
	if n, err := v.Read(make([]byte, 64)); n != 10 || err != nil || !b.replayable() {
		t.Fatalf("%d %v", n, err)
	}

	<-source.asked
	done := make(chan struct{})
	go func() { v.Read(make([]byte, 1)); close(done) }()
	<-source.asked
	if v.Close(); b.replayable() {
		t.Error("one more byte may come, and no more can be kept")
	}

	close(source.bytes)
	<-done
}

// A transport may read with a buffer of half a megabyte: what it brings
// decides, not what it could bring.
func TestReplay_ALargeBufferCostsNoRetry(t *testing.T) {
	t.Parallel()
	source := &slowSource{asked: make(chan struct{}, 9), bytes: make(chan string, 9)}
	b := new(replayBody)
	b.reset(source, -1, 10, 0)
	v := b.attempt()
	done := make(chan struct{})
	go func() { v.Read(make([]byte, 512<<10)); close(done) }()
	<-source.asked
	if v.Close(); !b.replayable() {
		t.Error("ten bytes may come at the most, and can be kept")
	}

	close(source.bytes)
	<-done
}

// closingSource is a slowSource whose Close ends a read in progress.
type closingSource struct {
	slowSource
	closed chan struct{}
}

func (s *closingSource) Read(p []byte) (int, error) {
	s.asked <- struct{}{}
	<-s.closed
	return copy(p, "late"), nil
}

func (s *closingSource) Close() error {
	close(s.closed)
	return nil
}

// Whoever owns the source has it for himself after release, and a view delivers
// nothing of a read that came too late.
func TestReplay_ReleaseJoinsTheReader(t *testing.T) {
	t.Parallel()
	source := &closingSource{slowSource{asked: make(chan struct{}, 9)}, make(chan struct{})}
	b := new(replayBody)
	b.reset(source, -1, 10, 0)
	v := b.attempt()
	ended := make(chan struct{})

	go func() {
		defer close(ended)
		if n, err := v.Read(make([]byte, 4)); n != 0 || err != io.ErrClosedPipe {
			t.Errorf("%d %v", n, err)
		}
	}()
	<-source.asked
	b.release()
	if !b.reading.TryLock() {
		t.Error("the client is still being read")
	}

	<-ended
}

func TestView_AgainBeginsAtTheStart(t *testing.T) {
	t.Parallel()
	b := replayOf("hello", 64, 0)
	v := b.attempt()
	io.ReadFull(v, make([]byte, 3))
	again, ok := v.Again()
	if !ok {
		t.Fatal("three of 64 bytes are too many")
	}

	if got, err := io.ReadAll(again); string(got) != "hello" || err != nil {
		t.Errorf("%q %v", got, err)
	}

	b = replayOf("hello", 2, 0)
	v = b.attempt()
	io.ReadFull(v, make([]byte, 3))
	if _, ok := v.Again(); ok {
		t.Error("three bytes are kept in two")
	}
}
