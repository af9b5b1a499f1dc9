package front

import (
	"bufio"
	"os"
	"reflect"
	"strings"
	"testing"
)

// smapsOf is an excerpt of smaps with one mapping.
func smapsOf(head, anonymous string) string {
	return head + "\nSize:               8688 kB\nRss:                7344 kB\n" + anonymous + "VmFlags: rd ex mr mw me\n"
}

func TestProgram_ReleasesOnlyWhatTheFileStillHas(t *testing.T) {
	t.Parallel()
	const none, some = "Anonymous:             0 kB\n", "Anonymous:             4 kB\n"
	want := []mapping{{0x400000, 0xc7c000}}
	for name, c := range map[string]struct {
		smaps string
		want  []mapping
	}{
		"code":                     {smapsOf("00400000-00c7c000 r-xp 00000000 fe:00 1234 /app/pillion", none), want},
		"constants":                {smapsOf("00400000-00c7c000 r--p 00000000 fe:00 1234 /app/pillion", none), want},
		"variables":                {smapsOf("00400000-00c7c000 rw-p 00000000 fe:00 1234 /app/pillion", none), nil},
		"a shared mapping":         {smapsOf("00400000-00c7c000 r--s 00000000 fe:00 1234 /app/pillion", none), nil},
		"relocated constants":      {smapsOf("00400000-00c7c000 r--p 00000000 fe:00 1234 /app/pillion", some), nil},
		"another file":             {smapsOf("00400000-00c7c000 r-xp 00000000 fe:00 1234 /lib/libc.so.6", none), nil},
		"a longer name":            {smapsOf("00400000-00c7c000 r-xp 00000000 fe:00 1234 /app/pillion (deleted)", none), nil},
		"no file":                  {smapsOf("00400000-00c7c000 r-xp 00000000 00:00 0", none), nil},
		"a kernel that tells less": {smapsOf("00400000-00c7c000 r-xp 00000000 fe:00 1234 /app/pillion", ""), nil},
		"no range":                 {smapsOf("zz-yy r-xp 00000000 fe:00 1234 /app/pillion", none), nil},
		"variables behind code": {smapsOf("00400000-00c7c000 r-xp 00000000 fe:00 1234 /app/pillion", none) +
			smapsOf("00c7c000-00d00000 rw-p 00000000 fe:00 1234 /app/pillion", none), want},
	} {
		got := unchangedMappings(bufio.NewScanner(strings.NewReader(c.smaps)), "/app/pillion")
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %x instead of %x", name, got, c.want)
		}
	}
}

// A test program that goes on after it has released its own code shows that the
// kernel brings the pages back.
func TestProgram_GoesOnAfterwards(t *testing.T) {
	smaps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("no /proc here")
	}
	defer smaps.Close()

	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}

	if all := unchangedMappings(bufio.NewScanner(smaps), program); len(all) == 0 {
		t.Error("no mapping of the program is found")
	}
	for range 3 {
		releaseStart()
	}
}
