package compare

import (
	"cmp"
	"math"
	"slices"

	"github.com/aclements/go-moremath/stats"
)

// tested is how two estimates differ: B over A, less 1.
type tested struct {
	change, low, high float64
	p                 float64
}

// welch compares two estimates by Welch's t-test on logarithms. The variance between starts is known, not estimated, and so has no degrees
// of freedom to lose.
func welch(a, b estimate, alpha float64) tested {
	va, vb := a.variance, b.variance
	v := va + vb + a.between + b.between
	df := math.Inf(1)
	if within := va*va/a.df + vb*vb/b.df; within > 0 {
		df = v * v / within
	}
	return student(b.log-a.log, math.Sqrt(v), df, alpha)
}

// student is Student's t-test of a difference against 0, with its interval.
func student(d, se, df, alpha float64) tested {
	df = min(df, 1e4) // where t is normal to four digits
	half := se * quantile(1-alpha/2, df)
	return tested{change: math.Expm1(d), low: math.Expm1(d - half), high: math.Expm1(d + half), p: 2 * (stats.TDist{V: df}).CDF(-math.Abs(d)/se)}
}

// fewestPairs of cells make an overall test.
const fewestPairs = 4

// paired is the overall test: the mean of the log ratios of cells that both runs measured, by their own scatter. That holds whatever the
// scatter comes from (a start, a node, a queue, a method without intervals), as long as it is not the same in all cells; what is the same in all
// cells of a node is added by the numbers of nodes. The scatter is taken to be no less than the estimates' own errors.
func paired(as, bs []estimate, nodesA, nodesB int, alpha float64) tested {
	n := float64(len(as))
	mean, own, shared := 0.0, 0.0, 0.0
	for i := range as {
		mean += (bs[i].log - as[i].log) / n
		shared += (as[i].between/float64(max(nodesA, 1)) + bs[i].between/float64(max(nodesB, 1))) / n
		for _, e := range []estimate{as[i], bs[i]} {
			if own += e.between / n; e.tested() {
				own += e.variance / n
			}
		}
	}
	square := 0.0
	for i := range as {
		d := bs[i].log - as[i].log - mean
		square += d * d / (n - 1)
	}
	scatter := max(square, own) / n
	df := (n - 1) * math.Pow((scatter+shared)/scatter, 2)
	return student(mean, math.Sqrt(scatter+shared), df, alpha)
}

// holm adjusts p-values so that of all tests together at most a share alpha of true hypotheses' families has any rejected at p < alpha
// (Holm 1979): the smallest times m, the next times m-1, and none below the one before it.
func holm(ps []float64) []float64 {
	order := make([]int, len(ps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(ps[i], ps[j]) })
	adjusted := make([]float64, len(ps))
	most := 0.0
	for k, i := range order {
		most = max(most, min(1, ps[i]*float64(len(ps)-k)))
		adjusted[i] = most
	}
	return adjusted
}
