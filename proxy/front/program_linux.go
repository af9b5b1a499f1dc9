package front

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// releaseStart tells the kernel that the process no longer needs the pages of
// its program file that are mapped at this moment. Most of them were read once,
// at the start. Those that requests need come back from the page cache by
// themselves. Without that, two thirds of an idle process are such pages.
//
// A mapping is released only if the process can't write to it and none of its
// pages differs from the file. Without /proc nothing is released.
func releaseStart() {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer smaps.Close()

	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}

	for _, m := range unchangedMappings(bufio.NewScanner(smaps), program) {
		// MADV_DONTNEED on a private mapping of a file: the next access reads
		// the file again (madvise(2)).
		syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED)
	}
}

// mapping is a range of addresses, end excluded.
type mapping struct{ start, end uintptr }

// unchangedMappings returns the mappings of a file that can't be written to and
// have no page of their own. The form of smaps is that of proc_pid_smaps(5).
func unchangedMappings(smaps *bufio.Scanner, file string) (all []mapping) {
	var current mapping
	ours := false

	for smaps.Scan() {
		line := smaps.Text()
		if size, is := strings.CutPrefix(line, "Anonymous:"); is {
			if ours && strings.TrimSpace(size) == "0 kB" {
				all = append(all, current)
			}
			continue
		}

		// address perms offset dev inode path
		words := strings.Fields(line)
		if len(words) < 6 || strings.HasSuffix(words[0], ":") {
			continue
		}

		readOnly := words[1] == "r-xp" || words[1] == "r--p"
		ours = readOnly && strings.Join(words[5:], " ") == file && current.parse(words[0])
	}

	return all
}

// parse reads a range as in 00400000-00c7c000, and reports whether it is one.
func (m *mapping) parse(s string) bool {
	from, to, _ := strings.Cut(s, "-")
	start, err := strconv.ParseUint(from, 16, 8*int(unsafe.Sizeof(m.start)))
	if err != nil {
		return false
	}

	end, err := strconv.ParseUint(to, 16, 8*int(unsafe.Sizeof(m.end)))
	*m = mapping{uintptr(start), uintptr(end)}
	return err == nil && start < end
}
