package main

import "errors"

func (b *bench) measuredGRPC(*entry) (loadResult, [2]usage, error) {
	return loadResult{}, [2]usage{}, errors.New("not built")
}
