package status

import "runtime/debug"

// Version returns the version of the build: release if it is not "", else the
// module's version, else the commit.
func Version(release string) string {
	if release != "" {
		return release
	}

	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}

	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}

	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "commit " + s.Value
		}
	}

	return "devel"
}
