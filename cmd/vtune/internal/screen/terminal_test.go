package screen

import (
	"io"
	"testing"
	"time"

	"vtune/cmd/vtune/internal/screen/screentest"
)

func TestOnATerminalTheCountIsOneLineThatGivesWayToWhatIsSaid(t *testing.T) {
	person, program := screentest.Terminal(t, 40, 24)
	talk := NewTalk(program, nil)
	c := clock{time.Unix(1e9, 0)}
	n := NewCounter(talk, c.now, "jobs written", 10000)
	for range 4 {
		c.at = c.at.Add(500 * time.Millisecond)
		n.Add(1000)
	}
	io.WriteString(talk, "warning: slow\n")
	c.at = c.at.Add(time.Second)
	n.Add(1000)
	n.Close()
	talk.Plain = true
	c.at = c.at.Add(time.Second)
	n.Add(1000)
	program.Close()
	said, _ := io.ReadAll(person) // ends in an error when the other side is closed
	const want = "" +             // cut before it would wrap
		"\rjobs written: 2,000 of 10,000, 2,000 a " +
		"\rjobs written: 3,000 of 10,000, 2,000 a " +
		"\rjobs written: 4,000 of 10,000, 2,000 a " +
		"\r                                       \rwarning: slow\r\n" +
		"\rjobs written: 5,000 of 10,000, 1,666 a " +
		"\r                                       \r"
	if got := string(said); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
