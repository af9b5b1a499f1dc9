//go:build !linux

package confine

import "errors"

func (Refusal) become(string) error { return errors.New("needs Linux") }
