package xds

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The types of resources.
const (
	ClusterType    = typePrefix + "envoy.config.cluster.v3.Cluster"
	AssignmentType = typePrefix + "envoy.config.endpoint.v3.ClusterLoadAssignment"

	typePrefix   = "type.googleapis.com/"
	wrapperType  = typePrefix + "envoy.service.discovery.v3.Resource"
	invalid      = 3 // google.rpc.Code INVALID_ARGUMENT
	longestError = 1000
)

// Request is a DiscoveryRequest.
type Request struct {
	Version string // version_info of the newest accepted response of this type
	Node    *Node  // only in the first request of a stream, else nil
	Names   []string
	Type    string
	Nonce   string // nonce of the response that this request acknowledges or refuses; "": none yet
	Error   string // why that response is refused (NACK); "": it is accepted (ACK)
}

// Node identifies Pillion to the control plane.
type Node struct {
	ID, Cluster           string
	Region, Zone, SubZone string
	Metadata              map[string]any // an object as encoding/json decodes it
	Agent, Version        string         // user_agent_name and user_agent_version
	Features              []string
}

// Marshal returns the request as a Protocol Buffers message.
func (r *Request) Marshal() []byte {
	b := appendText(nil, 1, r.Version)
	if r.Node != nil {
		b = appendBytes(b, 2, r.Node.marshal())
	}

	for _, name := range r.Names {
		b = appendBytes(b, 3, []byte(name))
	}

	b = appendText(b, 4, r.Type)
	b = appendText(b, 5, r.Nonce)
	if r.Error != "" {
		status := protowire.AppendTag(nil, 1, protowire.VarintType)
		status = protowire.AppendVarint(status, invalid)
		b = appendBytes(b, 6, appendText(status, 2, clipped(r.Error)))
	}

	return b
}

// clipped shortens an error text, so that a request stays small.
func clipped(text string) string {
	if len(text) > longestError {
		text = text[:longestError]
	}

	return string([]rune(text)) // a character that was split becomes U+FFFD
}

func (n *Node) marshal() []byte {
	b := appendText(nil, 1, n.ID)
	b = appendText(b, 2, n.Cluster)
	if len(n.Metadata) > 0 {
		b = appendBytes(b, 3, structure(n.Metadata))
	}

	locality := appendText(appendText(appendText(nil, 1, n.Region), 2, n.Zone), 3, n.SubZone)
	if len(locality) > 0 {
		b = appendBytes(b, 4, locality)
	}

	b = appendText(b, 6, n.Agent)
	b = appendText(b, 7, n.Version)
	for _, feature := range n.Features {
		b = appendText(b, 10, feature)
	}

	return b
}

// structure encodes a JSON object as a google.protobuf.Struct.
func structure(object map[string]any) (b []byte) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		entry := appendBytes(nil, 1, []byte(key))
		b = appendBytes(b, 1, appendBytes(entry, 2, value(object[key])))
	}

	return b
}

// value encodes a JSON value as a google.protobuf.Value.
func value(v any) []byte {
	switch v := v.(type) {
	case float64:
		b := protowire.AppendTag(nil, 2, protowire.Fixed64Type)
		return protowire.AppendFixed64(b, math.Float64bits(v))
	case string:
		return appendBytes(nil, 3, []byte(v))
	case bool:
		b := protowire.AppendTag(nil, 4, protowire.VarintType)
		return protowire.AppendVarint(b, protowire.EncodeBool(v))
	case map[string]any:
		return appendBytes(nil, 5, structure(v))
	case []any:
		var list []byte
		for _, element := range v {
			list = appendBytes(list, 1, value(element))
		}
		return appendBytes(nil, 6, list)
	}

	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0) // null
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return appendBytes(b, number, []byte(text))
}

func appendBytes(b []byte, number protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), content)
}

// Response is a DiscoveryResponse.
type Response struct {
	Version   string
	Type      string
	Nonce     string
	Resources []Resource
}

// Resource is a resource of a response that is not parsed yet.
type Resource struct {
	Type  string
	Value []byte
}

// ReadResponse parses a DiscoveryResponse. The result refers to the bytes of
// message.
func ReadResponse(message []byte) (r Response, err error) {
	err = walk(message, setOf(1, 4, 5), func(f field) error {
		switch f.number {
		case 1:
			return f.text(&r.Version)
		case 2:
			resource, err := readAny(f)
			r.Resources = append(r.Resources, resource)
			return err
		case 4:
			return f.text(&r.Type)
		case 5:
			return f.text(&r.Nonce)
		}

		return nil
	})
	if err == nil && r.Type == "" {
		err = errors.New("it has no type")
	}
	if err != nil {
		return Response{}, fmt.Errorf("reading a DiscoveryResponse: %w", err)
	}

	return r, nil
}

// readAny parses a google.protobuf.Any.
func readAny(f field) (r Resource, err error) {
	var inner []byte
	if err := f.message(&inner); err != nil {
		return r, err
	}

	err = walk(inner, setOf(1, 2), func(f field) error {
		switch f.number {
		case 1:
			return f.text(&r.Type)
		case 2:
			return f.message(&r.Value)
		}

		return nil
	})

	return r, err
}

// As returns the resource's bytes if it is of the wanted type. Some servers
// wrap it in a Resource message, which is removed.
func (r Resource) As(wanted string) ([]byte, error) {
	if r.Type == wrapperType {
		var inner Resource
		err := walk(r.Value, setOf(2), func(f field) (err error) {
			if f.number == 2 {
				inner, err = readAny(f)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading a Resource: %w", err)
		}
		r = inner
	}

	if r.Type != wanted {
		return nil, fmt.Errorf("a resource is of the type %.100q and not %q", r.Type, wanted)
	}

	return r.Value, nil
}
