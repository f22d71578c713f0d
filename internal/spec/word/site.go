package word

import (
	"fmt"
	"strconv"
	"strings"
)

// SiteName is a partition, account, QOS or reservation, or several with commas. It may be empty, as all that a site need not say.
func SiteName() Rule {
	return Rule{Pattern: `^([A-Za-z0-9_][A-Za-z0-9_.,+:@-]*)?$`, Says: "a name of letters, digits and _ . , + : @ -"}
}

// Constraint is an expression of node features in Slurm's terms.
func Constraint() Rule {
	return Rule{Pattern: `^([A-Za-z0-9_\[(!][A-Za-z0-9_.:=+*&|,!()\[\]-]*)?$`, Says: "a constraint of features, & | , ! * ( ) [ ]"}
}

// GPUType is the type part of a generic resource, as in gpu:h100:8.
func GPUType() Rule {
	return Rule{Pattern: `^([A-Za-z0-9_][A-Za-z0-9_.-]*)?$`, Says: "a name of letters, digits and _ . -"}
}

// Module is what module load takes.
func Module() Rule {
	return Rule{Pattern: `^[A-Za-z0-9_][A-Za-z0-9_./+:@-]*$`, Says: "a module's name"}
}

// Memory is a size in MiB, or with a unit K, M, G or T. It leaves room for nine digits, so that no unit overflows.
func Memory() Rule {
	return Rule{Pattern: `^(0|[1-9][0-9]{0,8}[KMGTkmgt]?)?$`, Says: "a size such as 64G or 512000M"}
}

// TimeLimit is one of Slurm's six forms of at least two minutes.
func TimeLimit() Rule {
	return Rule{Pattern: `^[0-9:-]*$`, Says: "a time limit: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS", check: func(v string) *Fault {
		if v == "" {
			return nil
		}
		seconds, ok := Seconds(v)
		if !ok {
			return &Fault{What: fmt.Sprintf("%q is not a time limit", v), Hint: "write minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"}
		}
		if seconds < 120 {
			return &Fault{
				What: fmt.Sprintf("%q is %d s; no server starts and is measured in less than 2 minutes", v, seconds),
				Hint: "a single number counts minutes, A:B minutes and seconds",
			}
		}
		return nil
	}}
}

// Seconds reads Slurm's six forms. What the first number means depends on how many there are and on whether days stand
// before them: 90 is minutes, 1:30 minutes and seconds, but 0-1:30 hours and minutes.
func Seconds(v string) (seconds int, ok bool) {
	units := map[int][]int{1: {60}, 2: {60, 1}, 3: {3600, 60, 1}}
	if days, rest, ok := strings.Cut(v, "-"); ok {
		n, ok := shortNumber(days)
		if !ok {
			return 0, false
		}
		seconds, v = n*24*3600, rest
		units = map[int][]int{1: {3600}, 2: {3600, 60}, 3: {3600, 60, 1}}
	}
	parts := strings.Split(v, ":")
	for i, unit := range units[len(parts)] {
		n, ok := shortNumber(parts[i])
		if !ok {
			return 0, false
		}
		seconds += n * unit
	}
	return seconds, len(parts) <= 3
}

func shortNumber(v string) (int, bool) {
	n, err := strconv.ParseUint(v, 10, 20)
	return int(n), err == nil
}

// Megabytes reads what Memory allows, in MiB and rounded up.
func Megabytes(v string) (int, error) {
	const kilo = 1024
	number, unit := v, byte('M')
	if last := len(v) - 1; last > 0 && v[last] > '9' {
		number, unit = v[:last], v[last]&^0x20
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size", v)
	}
	switch unit {
	case 'K':
		return (n + kilo - 1) / kilo, nil
	case 'G':
		return n * kilo, nil
	case 'T':
		return n * kilo * kilo, nil
	}
	return n, nil
}

// FileName is the name of a file without its folder and its extension.
func FileName() Rule {
	return Rule{Pattern: `^([A-Za-z0-9_][A-Za-z0-9_.-]*)?$`, Says: "a name of letters, digits and _ . -"}
}

// Image is a container's: a path, or a name at a registry.
func Image() Rule {
	return Rule{Pattern: `^([A-Za-z0-9/_.~][A-Za-z0-9_.:/@#+~-]*)?$`, Says: "a path, or an image's name", check: func(v string) *Fault {
		for _, start := range []string{"./", "../", "~"} {
			if strings.HasPrefix(v, start) {
				return &Fault{What: fmt.Sprintf("%q: jobs run in another folder, and ~ is not expanded", v), Hint: "write an absolute path"}
			}
		}
		return nil
	}}
}

// Mount is a folder of the node and where a container sees it.
func Mount() Rule {
	return Rule{Pattern: `^/[A-Za-z0-9_./+@~-]*(:/[A-Za-z0-9_./+@~-]*)?(:ro)?$`, Says: "SRC or SRC:DST, absolute, :ro at the end for read-only"}
}

// Proxy is the URL of an HTTP proxy. It holds no password: scripts show it.
func Proxy() Rule {
	return Rule{Pattern: `^(https?://[A-Za-z0-9_.:\[\]-]+/?)?$`, Says: "a URL such as http://proxy:3128"}
}

// Scratch is an absolute path, or nothing. vLLM's processes talk over sockets below it, whose paths have at most 107 bytes: there must
// be room for the number of a job and a name of 36 characters.
func Scratch() Rule {
	const most = 107 - len("/1234567890/") - 36
	r := AbsolutePath()
	r.check = func(v string) *Fault {
		if len(v) > most {
			return &Fault{What: fmt.Sprintf("is longer than %d bytes: the paths of sockets below it would not fit", most)}
		}
		return nil
	}
	return r
}
