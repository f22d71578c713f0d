package machine

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	sandboxVariable = "VTUNE_SANDBOX" // the machine's folder, for the programs below
	powerPath       = "/sandbox/power"
)

// programs stand before the real ones of the same name, which would act on the computer that the tests run on.
var programs = map[string]string{
	"shutdown": "#!/bin/bash\n" + askForPower + "ask \"$*\"\n",
	"poweroff": "#!/bin/bash\n" + askForPower + "ask now\n",
	"halt":     "#!/bin/bash\n" + askForPower + "ask now\n",
	"reboot":   "#!/bin/bash\n" + askForPower + "ask '-r now'\n",

	// A transient unit is a process in a session of its own that writes into a file instead of the journal.
	"systemd-run": `#!/bin/bash
unit=run-$$ after=0
while [[ ${1-} == -* ]]; do
	case $1 in
	--unit=*) unit=${1#*=} ;;
	-u | --unit) unit=$2; shift ;;
	--setenv=*) export "${1#*=}" ;;
	-E | --setenv) export "$2"; shift ;;
	--on-active=*) after=${1#*=} ;;
	-p | --property | --description | --slice | --working-directory | --uid | --gid) shift ;;
	--) shift; break ;;
	esac
	shift
done
unit=${unit%.service}
[[ -e $VTUNE_SANDBOX/tmp/units/$unit ]] && kill -0 "$(<"$VTUNE_SANDBOX/tmp/units/$unit")" 2>/dev/null && {
	echo "Failed to start transient service unit: Unit $unit.service was already loaded" >&2
	exit 1
}
mkdir -p "$VTUNE_SANDBOX/tmp/units"
rm -f "$VTUNE_SANDBOX/tmp/units/$unit"
setsid /bin/bash -c 'echo $$ >"$0"; sleep "$1"; shift; exec "$@"' "$VTUNE_SANDBOX/tmp/units/$unit" "$after" "$@" </dev/null >>"$VTUNE_SANDBOX/$unit.log" 2>&1 &
until [[ -s $VTUNE_SANDBOX/tmp/units/$unit ]]; do sleep 0.01; done
`,
	// There is no service manager to be asked.
	"systemctl": "#!/bin/bash\necho 'systemctl: this machine is a sandbox' >&2\nexit 1\n",
}

// askForPower tells the machine over its metadata server's listener, by bash alone.
const askForPower = `ask() {
	exec 3<>"/dev/tcp/${GCE_METADATA_HOST%:*}/${GCE_METADATA_HOST#*:}"
	printf 'POST ` + powerPath + ` HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#1} "$1" >&3
	cat <&3 >/dev/null
}
`

// power does what shutdown(8) is asked for: now, in some minutes, not at all, or with a new start.
func (m *Machine) power(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	wait, again, cancel := time.Duration(0), false, false
	minute := m.cfg.Minute
	if minute == 0 {
		minute = time.Minute
	}
	for word := range strings.FieldsSeq(string(body)) {
		if n, err := strconv.Atoi(strings.TrimPrefix(word, "+")); err == nil {
			wait = time.Duration(n) * minute
		}
		again = again || word == "-r"
		cancel = cancel || word == "-c"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off != nil {
		m.off.Stop()
		m.off = nil
	}
	if cancel || !m.on {
		return
	}
	m.off = time.AfterFunc(wait, func() { m.switchOff(again) })
}

func (m *Machine) switchOff(again bool) {
	act := m.Kill
	if again {
		act = m.Reboot
	}
	if err := act(); err != nil {
		m.note(err)
	}
}

// note writes what nobody can be told into the machine's log.
func (m *Machine) note(err error) {
	log, failed := os.OpenFile(m.Log(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if failed != nil {
		return
	}
	defer log.Close()
	fmt.Fprintf(log, "== %v\n", err)
}
