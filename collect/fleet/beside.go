package fleet

import "vtune/internal/record"

// Beside is what cells lost by sharing their node, where one was measured again when it was alone there. The runs are of one server
// and one load, so that the neighbours are all that differs but chance.
func Beside(attempts [][]record.Observation) []record.Beside {
	var found []record.Beside
	for _, made := range attempts {
		for _, alone := range made {
			if !alone.Alone || alone.Verdict == record.Invalid || alone.Neighbours > 0 {
				continue
			}
			for _, o := range made {
				if o.Cell == alone.Cell && o.Load == alone.Load && !o.Alone && !o.Emulated && o.Neighbours > 0 && o.Verdict != record.Invalid {
					found = append(found, record.Beside{
						Cell: o.Cell, Others: o.Neighbours, Packed: o.Metrics.RequestThroughput, Alone: alone.Metrics.RequestThroughput,
						Within: max(knownTo(o), knownTo(alone)),
					})
					break
				}
			}
		}
	}
	return found
}

// knownTo is how well a run knows its throughput, relative.
func knownTo(o record.Observation) float64 {
	if o.Steady == nil || o.Steady.Throughput.Value <= 0 {
		return 0
	}
	i := o.Steady.Throughput
	return max(i.High-i.Value, i.Value-i.Low) / i.Value
}
