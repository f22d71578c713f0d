package screen

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// WorstCase says what so many resources of so many chips each cost if every one lives for as long as it may: what is asked for is what
// they are, as spec.TPU.String has it.
func WorstCase(w io.Writer, resources, chips int, life time.Duration, asked string) error {
	_, err := fmt.Fprintf(w, "worst case: %s x %s x %s h = %s chip-hours (%s; what a chip-hour costs stands in your price list)\n",
		counted(resources, "resource"), counted(chips, "chip"), hundredths(life.Hours()), hundredths(float64(resources*chips)*life.Hours()), asked)
	return err
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// hundredths never makes less of v.
func hundredths(v float64) string {
	const slack = 1e-9 // of products that are no whole hundredths to a computer
	return strconv.FormatFloat(math.Ceil(v*100-slack)/100, 'f', -1, 64)
}
