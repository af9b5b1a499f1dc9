package compress

import (
	"net/http"
	"sync"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Sender compresses the answer to one request. The caller fills in the first
// fields, calls Ask, then Send or Answer once, and Release when the answer's
// body is closed. It belongs to one goroutine.
type Sender struct {
	Rules    *Rules
	Encoders *Encoders
	Next     wire.Sender

	// Wanted is the coding for an answer that may be compressed. Ask sets it.
	Wanted wire.Coding
	// Coding is the coding that was applied; Identity means none.
	Coding wire.Coding

	why     skip // nothing is wanted
	lacking bool // the answer is plain because no encoder is free
	asked   [1]string
	call    wire.Call
	fields  []wire.Field
	body    Body
}

var senders = sync.Pool{New: func() any { return new(Sender) }}

// NewSender returns an empty Sender.
func NewSender() *Sender { return senders.Get().(*Sender) }

// Release returns the Sender to its pool.
func (s *Sender) Release() {
	s.body.Close()
	fields := s.fields
	clear(fields[:cap(fields)])
	*s = Sender{}
	s.fields = fields[:0]
	senders.Put(s)
}

// Ask reads the codings that the client accepts.
func (s *Sender) Ask(r *http.Request) { s.Wanted, s.why = s.Rules.wanted(r) }

// Send asks Next, and compresses the answer if that is allowed. It sets Coded
// in the Call.
func (s *Sender) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	own := s.conditions(r, c)
	resp, err := s.Next.Send(r, own)
	if own != c {
		c.Reused, c.Written, c.FirstByte = own.Reused, own.Written, own.FirstByte
	}
	if err != nil {
		return nil, err
	}
	c.Coded = s.Answer(r, s.tags(r, c), resp)
	c.Uncoded = s.lacking

	return resp, nil
}

// conditions returns a Call with the strong forms of weakened tags, by which
// the service knows its answers.
func (s *Sender) conditions(r *http.Request, c *wire.Call) *wire.Call {
	own := c
	for _, name := range [...]string{"If-None-Match", "If-Match"} {
		value, changed := unweakened(s.field(name, r, c))
		if !changed {
			continue
		}
		if own == c {
			s.call, s.fields = *c, append(s.fields[:0], c.Fields...)
			own = &s.call
		}
		s.say(name, value)
		own.Fields = s.fields
	}

	return own
}

// say sets a field of the request.
func (s *Sender) say(name, value string) {
	for i := range s.fields {
		if s.fields[i].Name == name {
			s.fields[i].Value = value
			return
		}
	}
	s.fields = append(s.fields, wire.Field{Name: name, Value: value})
}

// field returns the lines of a request's field, valid until the next call.
func (s *Sender) field(name string, r *http.Request, c *wire.Call) []string {
	for i := range c.Fields {
		if c.Fields[i].Name == name {
			s.asked[0] = c.Fields[i].Value
			return s.asked[:]
		}
	}

	return r.Header[name]
}

// tags returns the lines of If-None-Match.
func (s *Sender) tags(r *http.Request, c *wire.Call) []string {
	return s.field("If-None-Match", r, c)
}

// Answer compresses an answer if that is allowed. tags is the request's
// If-None-Match.
func (s *Sender) Answer(r *http.Request, tags []string, resp *http.Response) wire.Coded {
	head := r.Method == http.MethodHead
	why, varies := s.Rules.judge(resp, head)
	coded := wire.NotCoded
	if varies {
		coded = wire.CodedToo
		if sayVary(resp.Header) {
			coded = wire.CodedHere
		}
	}

	switch {
	case why == compressed && s.why != compressed:
		why = s.why
	case why == compressed && head:
		sayCoding(resp.Header, s.Wanted)
		resp.ContentLength = -1
		return coded
	case why == compressed:
		why = s.encode(resp)
	case varies && resp.StatusCode == http.StatusNotModified &&
		weakensNotModified(resp.Header, tags, s.Wanted):
		weaken(resp.Header)
	}
	s.Encoders.skip(why)

	return coded
}

// encode replaces the body of an answer by a compressed one, if an encoder is
// free.
func (s *Sender) encode(resp *http.Response) skip {
	e := s.Encoders.take(s.Wanted)
	if s.lacking = e == nil; s.lacking {
		return byMemory
	}

	s.Coding = s.Wanted
	s.body = Body{encoders: s.Encoders, encoder: e, source: resp.Body, left: resp.ContentLength}
	sayCoding(resp.Header, s.Wanted)
	resp.Body, resp.ContentLength = &s.body, -1

	return compressed
}
