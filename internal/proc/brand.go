package proc

// Brand is what Supervise sets as the soft limit on file locks, for who starts an attempt through a shell and is itself no
// supervisor of it, because it answers for several: `ulimit -S -x BRAND`. Marked and the sweeps find what bears it.
func Brand(token string) uint64 { return brand(token) }
