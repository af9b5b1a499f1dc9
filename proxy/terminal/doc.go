// Package terminal describes the terminal that Pillion writes to: whether there
// is one (screen.go), its width (columns_*.go), and its colours (colour.go). It
// also folds and cuts text to that width (fold.go). The package starts no
// goroutines.
package terminal
