// Package xds is a client of xDS control planes. It opens an ADS stream
// (stream.go), writes requests and parses responses (message.go), and parses
// the two types of resources that name backends: clusters (cluster.go) and the
// endpoints of clusters (assignment.go). bootstrap.go parses the file in which
// gRPC programs find their control plane. Package discovery decides what to
// request after a response. It also owns the goroutines; this package starts
// none.
//
// The messages are parsed field by field with protowire (fields.go) instead of
// the generated types of go-control-plane. Those types include everything that
// a cluster can hold and make the program 1.7 MB larger, while Pillion needs
// about forty fields. The parser is strict. It refuses a singular field that is
// present twice, a number out of its range, a text that is not UTF-8, and a
// group. It skips unknown fields, as Protocol Buffers require. A test in a
// separate module (test/xds) compares the parser with the generated types.
package xds
