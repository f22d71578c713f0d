package load

import (
	"math"
	"time"
)

// kick does nothing here: no load is made on this system, where vtune has its login side alone.
type kick struct{}

func newKick() *kick { return nil }

func (*kick) in(time.Duration) {}

func (*kick) close() {}

// affine: processes are bound to no cores here.
func affine() int { return math.MaxInt }
