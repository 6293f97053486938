package runner

import (
	"cmp"
	"slices"
)

// Balance says which partitions of a stage an instance should claim and which it should give up, so that in the end all live
// instances own equally many, give or take one, and nothing moves that need not.
//
// Owners names the owner of each partition: empty if it may be claimed. An owner that is not among the live ones keeps what it
// has; it is about to leave. Live are the instances of the stage, sorted, me among them, each once.
//
// Of n instances and P partitions, P mod n may own ⌈P/n⌉, and those are the ones that own most already, in the order of their
// names among equals; all others own ⌊P/n⌋. Whoever has more gives the last ones up, whoever has less is dealt free ones, the
// poorest first, so that instances with the same view never want the same partition, and never give up more than is needed.
// Different views cost a refused claim, since the checkpoint decides, and meet again at the next look.
func Balance(owners, live []string, me string) (claim, release []int) {
	owned := make(map[string][]int, len(live))
	for partition, owner := range owners {
		owned[owner] = append(owned[owner], partition)
	}
	free := owned[""]
	ranked := slices.Clone(live)
	slices.SortStableFunc(ranked, func(a, b string) int { return cmp.Compare(len(owned[b]), len(owned[a])) })
	for rank, name := range slices.Backward(ranked) {
		share := len(owners) / len(live)
		if rank < len(owners)%len(live) {
			share++
		}
		has := len(owned[name])
		dealt := min(max(share-has, 0), len(free))
		if name == me {
			return free[:dealt:dealt], owned[me][min(share, has):]
		}
		free = free[dealt:]
	}
	return nil, nil
}
