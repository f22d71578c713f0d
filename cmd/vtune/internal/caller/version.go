package caller

import "runtime/debug"

// Built is this build's version: what Go says of the checkout that it was built from (v0.1.0 at a tag, else a pseudo-version with time
// and commit, with +dirty where files were changed), so that make and go install give the same. linked, which the linker sets, goes
// before it: an archive of the source has no history to ask.
func Built(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
