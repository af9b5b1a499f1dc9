package files

import (
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// maxRanges is the number of ranges that one answer may have. Each costs a
// head, and no ordinary client asks for so many.
const maxRanges = 64

// byteRange is a range of a file.
type byteRange struct{ at, n int64 }

// field returns the Content-Range of a range.
func (b byteRange) field(size int64) string {
	return "bytes " + strconv.FormatInt(b.at, 10) + "-" + strconv.FormatInt(b.at+b.n-1, 10) + "/" +
		strconv.FormatInt(size, 10)
}

// ranges holds the ranges of a Range field.
type ranges struct {
	list []byteRange // empty means the whole file
	none bool        // none of them is in the file: 416
}

var wholeFile = ranges{}

// rangesOf reads a Range field (RFC 9110 section 14.2). The field is ignored if
// it has another unit, or if its ranges together are larger than the file,
// because they overlap then. An empty file has no ranges.
func rangesOf(field string, size int64) ranges {
	unit, set, found := strings.Cut(field, "=")
	if !found || set == "" || size == 0 || !wire.EqualFold(wire.TrimBlanks(unit), "bytes") {
		return wholeFile
	}

	var list []byteRange
	total := int64(0)
	for spec := range strings.SplitSeq(set, ",") {
		if spec = wire.TrimBlanks(spec); spec == "" {
			continue
		}
		one, ok := rangeOf(spec, size)
		if !ok {
			return ranges{none: true}
		}
		if one.n == 0 {
			continue
		}
		list = append(list, one)
		total += one.n
		if total > size || len(list) > maxRanges {
			return wholeFile
		}
	}
	return ranges{list: list, none: len(list) == 0}
}

// rangeOf reads one range. The range is empty if it begins after the end of the
// file. It reports false for a malformed one.
func rangeOf(spec string, size int64) (byteRange, bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return byteRange{}, false
	}
	if first == "" {
		n, ok := wire.ParseLength(last)
		n = min(n, size)
		return byteRange{size - n, n}, ok
	}

	from, ok := wire.ParseLength(first)
	to := size - 1
	if ok && last != "" {
		if to, ok = wire.ParseLength(last); ok && to < from {
			return byteRange{}, false
		}
		to = min(to, size-1)
	}
	if !ok || from >= size {
		return byteRange{}, ok
	}
	return byteRange{from, to - from + 1}, true
}
