package h2

import (
	"errors"
	"sync"
)

var errHuffman = errors.New("hpack: malformed Huffman coding")

// huffmanStep is the effect of four bits in a state: the next state, and the
// byte that is complete, if there is one. No code is shorter than five bits, so
// four bits never complete two bytes.
type huffmanStep struct {
	next uint16
	char byte
	ends bool
}

// huffmanState is an inner node of the code's tree.
type huffmanState struct {
	steps   [16]huffmanStep
	padding bool // the bits from the root to here are less than eight ones (RFC 7541 section 5.2)
}

// noState is the state after the code for the end of the string, which must not
// come.
const noState = 0xffff

// huffmanStates is the automaton, made when it is first needed: 256 states of
// 16 steps.
var huffmanStates = sync.OnceValue(func() []huffmanState {
	tree := huffmanTree()
	states := make([]huffmanState, len(tree))

	for node, ones := 0, 0; ones < 8 && node >= 0; ones++ {
		states[node].padding = true
		node = tree[node][1].node
	}
	for node := range tree {
		for bits := range 16 {
			states[node].steps[bits] = tree.walk(node, bits)
		}
	}

	return states
})

// huffmanBranch is the result of one bit: an inner node, or the end of a byte's
// code.
type huffmanBranch struct {
	node int // -1 for none
	leaf bool
	char byte
}

type huffmanNodes [][2]huffmanBranch

// huffmanTree returns the code as a tree. It has no branch for the end of the
// string.
func huffmanTree() huffmanNodes {
	none := [2]huffmanBranch{{node: -1}, {node: -1}}
	tree := huffmanNodes{none}
	for char, code := range huffmanCodes {
		at := 0
		for bit := int(huffmanLengths[char]) - 1; bit > 0; bit-- {
			branch := &tree[at][code>>bit&1]
			if branch.node < 0 {
				branch.node = len(tree)
				at = branch.node
				tree = append(tree, none)
				continue
			}
			at = branch.node
		}
		tree[at][code&1] = huffmanBranch{node: -1, leaf: true, char: byte(char)}
	}
	return tree
}

// walk follows four bits from a node.
func (t huffmanNodes) walk(node, bits int) (step huffmanStep) {
	for i := 3; i >= 0; i-- {
		branch := t[node][bits>>i&1]
		switch {
		case branch.leaf:
			step.char, step.ends = branch.char, true
			node = 0
		case branch.node < 0:
			step.next = noState
			return step
		default:
			node = branch.node
		}
	}
	step.next = uint16(node)
	return step
}

// appendHuffman decodes p and appends the result (RFC 7541 section 5.2).
func appendHuffman(dst, p []byte) ([]byte, error) {
	states := huffmanStates()
	s := &states[0]
	for _, b := range p {
		for _, bits := range [2]byte{b >> 4, b & 15} {
			step := s.steps[bits]
			if step.ends {
				dst = append(dst, step.char)
			}
			if step.next == noState {
				return dst, errHuffman
			}
			s = &states[step.next]
		}
	}
	if !s.padding {
		return dst, errHuffman
	}
	return dst, nil
}
